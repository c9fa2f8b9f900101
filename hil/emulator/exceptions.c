#include "exceptions.h"

enum {
    ICSR = 0xD04,
    VTOR = 0xD08,
    SHPR1 = 0xD18,
    CPACR = 0xD88,
    PENDSVSET = 28,
    PENDSTSET = 26,
    THREAD_PRIORITY = 256, /* of code outside of handlers */
    FRAME_WORDS = 8,
    EXTENDED_FRAME_WORDS = 26,
    FLAGS_IT = 0x0600FC00,
    FLAG_ALIGNED = 1 << 9,
    FLAG_THUMB = 1 << 24,
    CONTROL_SPSEL = 1 << 1,
    RETURN_TO_PSP = 1 << 2,
    RETURN_TO_THREAD = 1 << 3,
    RETURN_BASIC_FRAME = 1 << 4,
};

static uint32_t get(uc_engine *uc, int id) {
    uint32_t value = 0;
    uc_reg_read(uc, id, &value);
    return value;
}

static void set(uc_engine *uc, int id, uint32_t value) {
    uc_reg_write(uc, id, &value);
}

static uint32_t priority_of(const peripherals *all, uint32_t number) {
    if (number == NO_EXCEPTION) {
        return THREAD_PRIORITY;
    }
    uint32_t offset = number - 4; /* a byte each in SHPR1 to SHPR3 */
    return number < 4 ? 0 : all->scs->words[(SHPR1 + offset) / 4] >> (offset % 4 * 8) & 0xFF;
}

/* The priority that an exception must beat. */
static uint32_t running_priority(uc_engine *uc, const peripherals *all) {
    uint32_t priority = priority_of(all, get(uc, UC_ARM_REG_IPSR));
    uint32_t base = get(uc, UC_ARM_REG_BASEPRI);
    if (get(uc, UC_ARM_REG_PRIMASK) & 1 || get(uc, UC_ARM_REG_FAULTMASK) & 1) {
        return 0;
    }
    return base != 0 && base < priority ? base : priority;
}

exception exceptions_next(uc_engine *uc, const peripherals *all) {
    uint32_t pending = all->scs->words[ICSR / 4];
    exception next = NO_EXCEPTION;
    if (pending >> PENDSTSET & 1) {
        next = EXCEPTION_SYSTICK;
    }
    if ((pending >> PENDSVSET & 1) &&
        (next == NO_EXCEPTION || priority_of(all, EXCEPTION_PENDSV) <= priority_of(all, next))) {
        next = EXCEPTION_PENDSV;
    }
    bool is_taken = next != NO_EXCEPTION && priority_of(all, next) < running_priority(uc, all) &&
                    !(get(uc, UC_ARM_REG_XPSR) & FLAGS_IT);
    return is_taken ? next : NO_EXCEPTION;
}

static bool has_fpu(const peripherals *all) {
    return all->scs->words[CPACR / 4] >> 20 & 1;
}

/* In the order of the frame. */
static const int stacked[6] = {UC_ARM_REG_R0, UC_ARM_REG_R1,  UC_ARM_REG_R2,
                               UC_ARM_REG_R3, UC_ARM_REG_R12, UC_ARM_REG_LR};

static void read_frame(uc_engine *uc, uint32_t *frame, uint32_t pc, uint32_t flags) {
    for (int i = 0; i < 6; i++) {
        frame[i] = get(uc, stacked[i]);
    }
    frame[6] = pc & ~1u;
    frame[7] = flags;
    for (int i = 0; i < 16; i++) {
        frame[8 + i] = get(uc, UC_ARM_REG_S0 + i);
    }
    frame[24] = get(uc, UC_ARM_REG_FPSCR);
    frame[25] = 0;
}

bool exceptions_enter(uc_engine *uc, peripherals *all, exception number, uint32_t pc) {
    uint32_t handler = 0, frame[EXTENDED_FRAME_WORDS];
    uint32_t flags = get(uc, UC_ARM_REG_XPSR), control = get(uc, UC_ARM_REG_CONTROL);
    bool from_handler = get(uc, UC_ARM_REG_IPSR) != 0, on_process_stack = !from_handler && (control & CONTROL_SPSEL);
    uint32_t sp = get(uc, UC_ARM_REG_SP), bytes = 4 * (has_fpu(all) ? EXTENDED_FRAME_WORDS : FRAME_WORDS);
    uint32_t to = (sp - bytes) & ~7u;
    read_frame(uc, frame, pc, (flags & ~(uint32_t)FLAG_ALIGNED) | FLAG_THUMB | (sp & 4 ? FLAG_ALIGNED : 0));
    if (uc_mem_read(uc, all->scs->words[VTOR / 4] + 4 * (uint32_t)number, &handler, 4) != UC_ERR_OK || !(handler & 1) ||
        uc_mem_write(uc, to, frame, bytes) != UC_ERR_OK) {
        return false;
    }
    set(uc, UC_ARM_REG_SP, to);
    if (on_process_stack) { /* while it is still a thread: handlers cannot select */
        set(uc, UC_ARM_REG_CONTROL, control & ~(uint32_t)CONTROL_SPSEL);
    }
    set(uc, UC_ARM_REG_IPSR, number);
    set(uc, UC_ARM_REG_LR,
        (has_fpu(all) ? 0xFFFFFFE1u : 0xFFFFFFF1u) | (from_handler ? 0 : RETURN_TO_THREAD) |
            (on_process_stack ? RETURN_TO_PSP : 0));
    set(uc, UC_ARM_REG_PC, handler);
    uint32_t pended = number == EXCEPTION_PENDSV ? 1u << PENDSVSET : number == EXCEPTION_SYSTICK ? 1u << PENDSTSET : 0;
    all->scs->words[ICSR / 4] &= ~pended;
    return true;
}

bool exceptions_is_return(uc_engine *uc, uint32_t address) {
    return address >= 0xFFFFFFE0u && get(uc, UC_ARM_REG_IPSR) != 0;
}

static void write_frame(uc_engine *uc, const uint32_t *frame, bool is_extended) {
    for (int i = 0; i < 6; i++) {
        set(uc, stacked[i], frame[i]);
    }
    for (int i = 0; is_extended && i < 16; i++) {
        set(uc, UC_ARM_REG_S0 + i, frame[8 + i]);
    }
    if (is_extended) {
        set(uc, UC_ARM_REG_FPSCR, frame[24]);
    }
}

bool exceptions_leave(uc_engine *uc, uint32_t exc_return, uint32_t *pc) {
    uint32_t frame[EXTENDED_FRAME_WORDS];
    bool is_extended = !(exc_return & RETURN_BASIC_FRAME), to_process_stack = exc_return & RETURN_TO_PSP;
    uint32_t bytes = 4 * (is_extended ? EXTENDED_FRAME_WORDS : FRAME_WORDS);
    uint32_t sp = get(uc, to_process_stack ? UC_ARM_REG_PSP : UC_ARM_REG_SP);
    if (uc_mem_read(uc, sp, frame, bytes) != UC_ERR_OK) {
        return false;
    }
    set(uc, UC_ARM_REG_XPSR, frame[7]);
    set(uc, UC_ARM_REG_IPSR, exc_return & RETURN_TO_THREAD ? 0 : frame[7] & 0x1FF);
    if (to_process_stack) {
        set(uc, UC_ARM_REG_CONTROL, get(uc, UC_ARM_REG_CONTROL) | CONTROL_SPSEL);
    }
    set(uc, UC_ARM_REG_SP, sp + bytes + (frame[7] & FLAG_ALIGNED ? 4 : 0));
    write_frame(uc, frame, is_extended);
    *pc = frame[6];
    return true;
}
