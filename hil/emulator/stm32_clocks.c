/* Clocks, power and flash control of STM32H7 (RM0433, RM0399, RM0455) and STM32F7 (RM0385). A ready bit is set because
 * what it tells of is really ready: an oscillator is on, a PLL's input and output are within their ranges, a supply was
 * chosen. */
#include "peripherals.h"

#define HSI_H7_HZ 64000000u
#define CSI_H7_HZ 4000000u
#define HSI_F7_HZ 16000000u

static uint32_t bit(uint32_t value, uint32_t index) {
    return value >> index & 1u;
}

/* LSE and LSI are ready when on. */
static uint32_t slow_clocks(uint32_t offset, uint32_t value) {
    enum { BDCR = 0x70, CSR = 0x74 };
    return offset == BDCR || offset == CSR ? (value & ~2u) | bit(value, 0) << 1 : value;
}

enum { RCC_CR = 0x00, H7_CFGR = 0x10, H7_D1CFGR = 0x18, H7_PLLCKSELR = 0x28, H7_PLLCFGR = 0x2C, H7_PLL1DIVR = 0x30 };

/* PLL1's P output from the HSI; 0 if it cannot lock: its source is off, or a frequency is outside the range that was
 * configured. */
static uint64_t h7_pll1_hz(const peripheral *rcc) {
    uint32_t control = rcc->words[RCC_CR / 4], select = rcc->words[H7_PLLCKSELR / 4];
    uint32_t config = rcc->words[H7_PLLCFGR / 4], dividers = rcc->words[H7_PLL1DIVR / 4];
    static const uint32_t range_begin[4] = {1000000, 2000000, 4000000, 8000000};
    uint32_t divide = select >> 4 & 63, range = config >> 2 & 3;
    if (!bit(control, 24) || (select & 3) != 0 || !bit(control, 0) || divide == 0 || !bit(config, 16)) {
        return 0;
    }
    uint64_t input = (HSI_H7_HZ >> (control >> 3 & 3)) / divide;
    uint64_t vco = input * ((dividers & 511) + 1);
    bool is_wide = !bit(config, 1);
    bool vco_in_range = is_wide ? vco >= 128000000 && vco <= 960000000 : vco >= 150000000 && vco <= 420000000;
    if (input < range_begin[range] || input > 2 * range_begin[range] || !vco_in_range) {
        return 0;
    }
    return vco / ((dividers >> 9 & 127) + 1);
}

/* What a board's crystal or clock input (HSE) brings is not known: a PLL locks to it whatever the dividers. */
static bool h7_pll1_is_locked(const peripheral *rcc) {
    uint32_t control = rcc->words[RCC_CR / 4], source = rcc->words[H7_PLLCKSELR / 4] & 3;
    return source == 2 ? bit(control, 16) && bit(control, 24) : h7_pll1_hz(rcc) > 0;
}

static bool h7_source_is_ready(const peripheral *rcc, uint32_t source) {
    uint32_t control = rcc->words[RCC_CR / 4];
    switch (source) {
    case 0:
        return bit(control, 0);
    case 1:
        return bit(control, 7);
    case 2:
        return bit(control, 16);
    default:
        return source == 3 && h7_pll1_is_locked(rcc);
    }
}

static uint32_t h7_selected(const peripheral *rcc) {
    uint32_t wanted = rcc->words[H7_CFGR / 4] & 7;
    return h7_source_is_ready(rcc, wanted) ? wanted : 0;
}

/* 0 if it is the HSE's, or made of it. */
uint64_t stm32h7_clock_hz(const peripherals *all) {
    uint32_t divider = all->rcc->words[H7_D1CFGR / 4] >> 8 & 15;
    const uint64_t sources[4] = {HSI_H7_HZ >> (all->rcc->words[RCC_CR / 4] >> 3 & 3), CSI_H7_HZ, 0,
                                 h7_pll1_hz(all->rcc)};
    uint64_t source = sources[h7_selected(all->rcc)];
    static const uint8_t shift[8] = {1, 2, 3, 4, 6, 7, 8, 9};
    return divider < 8 ? source : source >> shift[divider - 8];
}

static uint32_t h7_rcc_read(peripherals *all, peripheral *self, uint32_t offset) {
    (void)all;
    uint32_t value = self->words[offset / 4];
    if (offset == RCC_CR) {
        /* HSIDIVF, D1CKRDY and D2CKRDY follow at once; HSI48, CSI, HSE and the other PLLs are ready when on. */
        return value | 1u << 5 | 3u << 14 | bit(value, 0) << 2 | bit(value, 7) << 8 | bit(value, 12) << 13 |
               bit(value, 16) << 17 | (uint32_t)h7_pll1_is_locked(self) << 25 | bit(value, 26) << 27 |
               bit(value, 28) << 29;
    }
    return offset == H7_CFGR ? (value & ~(7u << 3)) | h7_selected(self) << 3 : slow_clocks(offset, value);
}

static void h7_rcc_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    (void)all;
    self->words[offset / 4] = offset == RCC_CR ? value & 0x150D1299u : value;
}

static void h7_rcc_reset(peripheral *self) {
    self->words[RCC_CR / 4] = 1;
    self->words[H7_PLLCKSELR / 4] = 0x02020200;
    self->words[H7_PLLCFGR / 4] = 0x01FF0000;
    self->words[H7_PLL1DIVR / 4] = 0x01010280;
}

const peripheral_model stm32h7_rcc = {"RCC", h7_rcc_read, h7_rcc_write, h7_rcc_reset};

/* Word 12 is not a register: that CR3 has been written, which must come before any other voltage than the lowest. */
enum { H7_CSR1 = 0x04, H7_CR3 = 0x0C, H7_D3CR = 0x18, H7_SUPPLY_CHOSEN = 0x30 };

static uint32_t h7_pwr_read(peripherals *all, peripheral *self, uint32_t offset) {
    (void)all;
    uint32_t supply = self->words[H7_CR3 / 4] & 7;
    uint32_t ready = self->words[H7_SUPPLY_CHOSEN / 4] && (supply == 1 || supply == 2 || supply == 4);
    uint32_t value = self->words[offset / 4];
    switch (offset) {
    case H7_CSR1:
        return (value & ~(1u << 13)) | ready << 13 | 3u << 14;
    case H7_D3CR:
        return (value & ~(1u << 13)) | ready << 13;
    default:
        return value;
    }
}

static void h7_pwr_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    (void)all;
    if (offset == H7_CR3) {
        if (!self->words[H7_SUPPLY_CHOSEN / 4]) {
            self->words[H7_CR3 / 4] = value;
        }
        self->words[H7_SUPPLY_CHOSEN / 4] = 1;
    } else if (offset != H7_CSR1 && offset != H7_SUPPLY_CHOSEN) {
        self->words[offset / 4] = value;
    }
}

static void h7_pwr_reset(peripheral *self) {
    self->words[H7_CR3 / 4] = 6;
    self->words[H7_D3CR / 4] = 0x4000;
}

const peripheral_model stm32h7_pwr = {"PWR", h7_pwr_read, h7_pwr_write, h7_pwr_reset};

static void h7_flash_reset(peripheral *self) {
    self->words[0] = 0x37;
}

const peripheral_model stm32h7_flash = {"FLASH", plain_read, plain_write, h7_flash_reset};

enum { F7_PLLCFGR = 0x04, F7_CFGR = 0x08 };

static uint64_t f7_pll_hz(const peripheral *rcc) {
    uint32_t control = rcc->words[RCC_CR / 4], config = rcc->words[F7_PLLCFGR / 4];
    uint32_t divide = config & 63, multiply = config >> 6 & 511;
    if (!bit(control, 24) || bit(config, 22) || !bit(control, 0) || divide < 2) {
        return 0;
    }
    uint64_t input = HSI_F7_HZ / divide, vco = input * multiply;
    if (input < 950000 || input > 2100000 || vco < 100000000 || vco > 432000000) {
        return 0;
    }
    return vco / (2 * ((config >> 16 & 3) + 1));
}

static bool f7_pll_is_locked(const peripheral *rcc) {
    uint32_t control = rcc->words[RCC_CR / 4];
    bool is_from_hse = bit(rcc->words[F7_PLLCFGR / 4], 22);
    return is_from_hse ? bit(control, 16) && bit(control, 24) : f7_pll_hz(rcc) > 0;
}

static uint32_t f7_selected(const peripheral *rcc) {
    uint32_t wanted = rcc->words[F7_CFGR / 4] & 3, control = rcc->words[RCC_CR / 4];
    bool is_ready = (wanted == 1 && bit(control, 16)) || (wanted == 2 && f7_pll_is_locked(rcc));
    return is_ready ? wanted : 0;
}

/* 0 if it is the HSE's, or made of it. */
uint64_t stm32f7_clock_hz(const peripherals *all) {
    const uint64_t sources[3] = {HSI_F7_HZ, 0, f7_pll_hz(all->rcc)};
    return sources[f7_selected(all->rcc)];
}

static uint32_t f7_rcc_read(peripherals *all, peripheral *self, uint32_t offset) {
    (void)all;
    uint32_t value = self->words[offset / 4];
    if (offset == RCC_CR) {
        return value | bit(value, 0) << 1 | bit(value, 16) << 17 | (uint32_t)f7_pll_is_locked(self) << 25 |
               bit(value, 26) << 27 | bit(value, 28) << 29;
    }
    return offset == F7_CFGR ? (value & ~(3u << 2)) | f7_selected(self) << 2 : slow_clocks(offset, value);
}

static void f7_rcc_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    (void)all;
    self->words[offset / 4] = offset == RCC_CR ? value & 0x150D00F9u : value;
}

static void f7_rcc_reset(peripheral *self) {
    self->words[RCC_CR / 4] = 0x81;
    self->words[F7_PLLCFGR / 4] = 0x24003010;
    self->words[0x30 / 4] = 0x00100000;
}

const peripheral_model stm32f7_rcc = {"RCC", f7_rcc_read, f7_rcc_write, f7_rcc_reset};

enum { F7_CR1 = 0x00, F7_CSR1 = 0x04 };

/* Over-drive needs a running PLL; the switch to it needs over-drive. */
static uint32_t f7_pwr_read(peripherals *all, peripheral *self, uint32_t offset) {
    uint32_t control = self->words[F7_CR1 / 4];
    uint32_t locked = f7_pll_is_locked(all->rcc);
    uint32_t over_drive = bit(control, 16) & locked;
    if (offset == F7_CSR1) {
        return locked << 14 | over_drive << 16 | (bit(control, 17) & over_drive) << 17;
    }
    return self->words[offset / 4];
}

static void f7_pwr_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    (void)all;
    self->words[offset / 4] = value;
}

static void f7_pwr_reset(peripheral *self) {
    self->words[F7_CR1 / 4] = 0xC000;
}

const peripheral_model stm32f7_pwr = {"PWR", f7_pwr_read, f7_pwr_write, f7_pwr_reset};
