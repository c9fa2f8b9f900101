/* The core's own registers: system control space (with SysTick, MPU and caches) and the cycle counter. From the ARMv7-M
 * Architecture Reference Manual (DDI 0403) and the Cortex-M7 TRM (DDI 0489). */
#include "peripherals.h"

enum {
    SYST_CSR = 0x010,
    SYST_RVR = 0x014,
    SYST_CVR = 0x018,
    CPUID = 0xD00,
    ICSR = 0xD04,
    VTOR = 0xD08,
    AIRCR = 0xD0C,
    CCR = 0xD14,
    CLIDR = 0xD78,
    CCSIDR = 0xD80,
    CSSELR = 0xD84,
    MPU_TYPE = 0xD90,
    MPU_CTRL = 0xD94,
    MPU_RNR = 0xD98,
    MPU_RBAR = 0xD9C,
    MPU_RASR = 0xDA0,
    MPU_RASR_A3 = 0xDB8, /* the last of three more pairs by which RBAR and RASR are reached */
    DHCSR = 0xDF0,
    DEMCR = 0xDFC,
    ICIALLU = 0xF50, /* the first of the registers that maintain caches and branch prediction */
    BPIALL = 0xF78,  /* and the last */
};

enum { PENDSVSET = 28, PENDSTSET = 26 }; /* ICSR */

/* Sets less one, ways less one, and lines of 32 bytes; write-through, write-back, read and write allocate supported. */
static uint32_t cache_size(uint32_t bytes, uint32_t ways) {
    return 0xFu << 28 | (bytes / 32 / ways - 1) << 13 | (ways - 1) << 3 | 1u;
}

/* SysTick counts the core's cycles down from its reload value, for firmware that polls it. */
static uint32_t systick_wraps(const peripherals *all, const peripheral *self, uint32_t *value) {
    uint64_t elapsed = all->cycles(all->machine) - all->systick_zero;
    uint64_t period = (uint64_t)(self->words[SYST_RVR / 4] & 0xFFFFFF) + 1;
    bool counts = (self->words[SYST_CSR / 4] & 1u) && period > 1 && elapsed > 0;
    *value = counts ? (uint32_t)(period - 1 - (elapsed - 1) % period) : 0;
    return counts ? (uint32_t)((elapsed - 1) / period) : 0;
}

void peripherals_set_vectors(peripherals *all, uint32_t address) {
    all->scs->words[VTOR / 4] = address;
}

void peripherals_attach_debugger(peripherals *all) {
    all->scs->words[DHCSR / 4] = 1; /* C_DEBUGEN */
}

bool peripherals_interrupt(peripherals *all) {
    uint32_t *pending = &all->scs->words[ICSR / 4], value;
    uint32_t wraps = systick_wraps(all, all->scs, &value);
    if (wraps != all->systick_wraps_pended) {
        all->systick_wraps_pended = wraps;
        *pending |= (all->scs->words[SYST_CSR / 4] & 2u ? 1u : 0u) << PENDSTSET;
    }
    return *pending & (1u << PENDSVSET | 1u << PENDSTSET);
}

bool peripherals_next_tick(const peripherals *all, uint64_t *cycles) {
    uint32_t value;
    systick_wraps(all, all->scs, &value);
    *cycles = (uint64_t)value + 1;
    return (all->scs->words[SYST_CSR / 4] & 3u) == 3u && (all->scs->words[SYST_RVR / 4] & 0xFFFFFF);
}

/* Each of the four bits sets or clears what is pending. */
static void set_pending(peripherals *all, peripheral *self, uint32_t value) {
    uint32_t *pending = &self->words[ICSR / 4];
    *pending |= value & (1u << PENDSVSET | 1u << PENDSTSET);
    *pending &= ~(value << 1 & (1u << PENDSVSET | 1u << PENDSTSET));
    all->may_interrupt |= *pending != 0;
}

/* The selected region's registers; RBAR may select another one. */
static uint32_t *protection_register(peripherals *all, const peripheral *self, uint32_t offset) {
    uint32_t *region = all->regions[self->words[MPU_RNR / 4] & 15u];
    return &region[offset == MPU_RASR];
}

static void write_protection(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    if (offset > MPU_RASR) {
        offset = MPU_RBAR + (offset - MPU_RBAR) % 8;
    }
    if (offset == MPU_RBAR && value >> 4 & 1u) {
        write_protection(all, self, MPU_RNR, value & 15u);
    }
    if (offset == MPU_RBAR || offset == MPU_RASR) {
        *protection_register(all, self, offset) = offset == MPU_RBAR ? value & ~31u : value;
    } else {
        self->words[offset / 4] = value;
    }
    all->maintain(all->machine, offset, value);
}

static uint32_t scs_read(peripherals *all, peripheral *self, uint32_t offset) {
    uint32_t value;
    switch (offset) {
    case SYST_CSR: {
        uint32_t wraps = systick_wraps(all, self, &value);
        uint32_t flag = (uint32_t)(wraps != all->systick_wraps_seen) << 16;
        all->systick_wraps_seen = wraps;
        return (self->words[offset / 4] & 7u) | flag;
    }
    case SYST_CVR:
        systick_wraps(all, self, &value);
        return value;
    case CCSIDR:
        if (!self->words[CLIDR / 4]) {
            return 0;
        }
        return self->words[CSSELR / 4] & 1u ? cache_size(all->part->instruction_cache_bytes, 2)
                                            : cache_size(all->part->data_cache_bytes, 4);
    case MPU_RBAR:
        return *protection_register(all, self, offset) | (self->words[MPU_RNR / 4] & 15u);
    case MPU_RASR:
        return *protection_register(all, self, offset);
    default:
        return self->words[offset / 4];
    }
}

static void scs_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    switch (offset) {
    case CPUID:
    case CLIDR:
    case CCSIDR:
    case MPU_TYPE:
        return;
    case AIRCR:
        all->reset_requested = value >> 16 == 0x05FA && (value & 1u << 2);
        return;
    case ICSR:
        set_pending(all, self, value);
        return;
    case SYST_CSR:
    case SYST_CVR:
        all->systick_zero = all->cycles(all->machine);
        all->systick_wraps_seen = all->systick_wraps_pended = 0;
        self->words[offset / 4] = offset == SYST_CVR ? 0 : value;
        all->may_interrupt |= (self->words[SYST_CSR / 4] & 3u) == 3u;
        return;
    default:
        if (offset >= MPU_CTRL && offset <= MPU_RASR_A3) {
            write_protection(all, self, offset, value);
            return;
        }
        if (offset == CCR || (offset >= ICIALLU && offset <= BPIALL)) {
            all->maintain(all->machine, offset, value);
        }
        if (offset < ICIALLU || offset > BPIALL) {
            self->words[offset / 4] = value;
        }
    }
}

static void scs_reset(peripheral *self) {
    self->words[CCR / 4] = 0x00040200;
}

void core_identify(peripheral *scs, const core_model *core) {
    scs->words[CPUID / 4] = core->cpuid;
    scs->words[CLIDR / 4] = core->clidr;
    scs->words[MPU_TYPE / 4] = core->mpu_regions << 8;
}

const peripheral_model core_scs = {"SCS", scs_read, scs_write, scs_reset};

enum { DWT_CTRL = 0x000, DWT_CYCCNT = 0x004, DWT_LAR = 0xFB0, DWT_LSR = 0xFB4 };

/* The counter runs while tracing is enabled in DEMCR and the counter in DWT_CTRL; its registers are locked until the
 * key. */
static bool is_counting(const peripherals *all, const peripheral *self) {
    return (self->words[DWT_CTRL / 4] & 1u) && (all->scs->words[DEMCR / 4] >> 24 & 1u);
}

static uint32_t dwt_read(peripherals *all, peripheral *self, uint32_t offset) {
    if (offset == DWT_CYCCNT && is_counting(all, self)) {
        return (uint32_t)(all->cycles(all->machine) - all->cycle_counter_zero);
    }
    return self->words[offset / 4];
}

static void dwt_write(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    bool is_unlocked = !(self->words[DWT_LSR / 4] & 2u);
    if (offset == DWT_LAR) {
        self->words[DWT_LSR / 4] = value == 0xC5ACCE55 ? 1 : 3;
    } else if (is_unlocked && offset != DWT_LSR) {
        uint32_t count = dwt_read(all, self, DWT_CYCCNT);
        self->words[offset / 4] = offset == DWT_CTRL ? (value & 0x0FFFFFFF) | 0x40000000 : value;
        self->words[DWT_CYCCNT / 4] = offset == DWT_CYCCNT ? value : count;
        all->cycle_counter_zero = all->cycles(all->machine) - self->words[DWT_CYCCNT / 4];
    }
}

static void dwt_reset(peripheral *self) {
    self->words[DWT_CTRL / 4] = 0x40000000;
    self->words[DWT_LSR / 4] = 3;
}

const peripheral_model core_dwt = {"DWT", dwt_read, dwt_write, dwt_reset};
