/* Clocks, power and flash control of STM32L4+ (RM0432), to the rules of stm32_clocks.c. */
#include "peripherals.h"
#include "timing.h"

#define HSI_HZ 16000000u

static uint32_t bit(uint32_t value, uint32_t index) {
    return value >> index & 1u;
}

enum { CR = 0x00, CFGR = 0x08, PLLCFGR = 0x0C, BDCR = 0x90, CSR = 0x94 };
enum { SOURCE_MSI = 0, SOURCE_HSI = 1, SOURCE_HSE = 2, SOURCE_PLL = 3 };

static uint64_t msi_hz(const peripheral *rcc) {
    static const uint32_t ranges[12] = {100000,  200000,  400000,   800000,   1000000,  2000000,
                                        4000000, 8000000, 16000000, 24000000, 32000000, 48000000};
    uint32_t control = rcc->words[CR / 4], range = bit(control, 3) ? control >> 4 & 15 : 6;
    return bit(control, 0) && range < 12 ? ranges[range] : 0;
}

/* The PLL's R output from MSI or HSI; 0 if it cannot lock. */
static uint64_t pll_hz(const peripheral *rcc) {
    uint32_t control = rcc->words[CR / 4], config = rcc->words[PLLCFGR / 4];
    const uint64_t sources[4] = {0, msi_hz(rcc), bit(control, 8) ? HSI_HZ : 0, 0};
    uint64_t input = sources[config & 3] / ((config >> 4 & 15) + 1), vco = input * (config >> 8 & 127);
    bool runs = bit(control, 24) && bit(config, 24);
    if (!runs || input < 2660000 || input > 16000000 || vco < 64000000 || vco > 344000000) {
        return 0;
    }
    return vco / (2 * ((config >> 25 & 3) + 1));
}

/* What a board's crystal brings is not known: a PLL locks to it whatever the dividers. */
static bool pll_is_locked(const peripheral *rcc) {
    uint32_t control = rcc->words[CR / 4];
    bool is_from_hse = (rcc->words[PLLCFGR / 4] & 3) == 3;
    return is_from_hse ? bit(control, 16) && bit(control, 24) : pll_hz(rcc) > 0;
}

static uint32_t selected(const peripheral *rcc) {
    uint32_t wanted = rcc->words[CFGR / 4] & 3, control = rcc->words[CR / 4];
    const bool is_ready[4] = {bit(control, 0), bit(control, 8), bit(control, 16), pll_is_locked(rcc)};
    return is_ready[wanted] ? wanted : SOURCE_MSI;
}

/* 0 if it is the HSE's, or made of it. */
uint64_t stm32l4_clock_hz(const peripherals *all) {
    const peripheral *rcc = all->rcc;
    const uint64_t sources[4] = {msi_hz(rcc), HSI_HZ, 0, pll_hz(rcc)};
    static const uint8_t shift[8] = {1, 2, 3, 4, 6, 7, 8, 9};
    uint32_t divider = rcc->words[CFGR / 4] >> 4 & 15;
    return divider < 8 ? sources[selected(rcc)] : sources[selected(rcc)] >> shift[divider - 8];
}

static uint32_t rcc_read(peripherals *all, peripheral *self, uint32_t offset) {
    (void)all;
    uint32_t value = self->words[offset / 4];
    switch (offset) {
    case CR: /* MSI, HSI and HSE and the other PLLs are ready when on */
        return value | bit(value, 0) << 1 | bit(value, 8) << 10 | bit(value, 16) << 17 |
               (uint32_t)pll_is_locked(self) << 25 | bit(value, 26) << 27 | bit(value, 28) << 29;
    case CFGR:
        return (value & ~(3u << 2)) | selected(self) << 2;
    case BDCR:
    case CSR:
        return (value & ~2u) | bit(value, 0) << 1;
    default:
        return value;
    }
}

static void rcc_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    (void)all;
    self->words[offset / 4] = offset == CR ? value & 0x150D0BFDu : value;
}

static void rcc_reset(peripheral *self) {
    self->words[CR / 4] = 0x61;
    self->words[PLLCFGR / 4] = 0x1000;
}

const peripheral_model stm32l4_rcc = {"RCC", rcc_read, rcc_write, rcc_reset};

/* VOSF and REGLPF stay clear: the regulator follows at once. */
enum { CR1 = 0x00, CR5 = 0x80 };

static void pwr_reset(peripheral *self) {
    self->words[CR1 / 4] = 1u << 9;
    self->words[CR5 / 4] = 1u << 8;
}

const peripheral_model stm32l4_pwr = {"PWR", plain_read, plain_write, pwr_reset};

/* The access control register turns the flash's caches on and off and empties them. */
enum { ACR = 0x00 };

static void flash_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    self->words[offset / 4] = value;
    if (offset == ACR) {
        all->maintain(all->machine, TIMING_FLASH_CONTROL, value);
    }
}

static void flash_reset(peripheral *self) {
    self->words[ACR / 4] = 0x600;
}

const peripheral_model stm32l4_flash = {"FLASH", plain_read, flash_write, flash_reset};
