/* What happens where the firmware stops and can go on: semihosting calls, exceptions, sleep. */
#include "machine_state.h"

#define YIELD 0xBF10u /* instructions */
#define WAIT_FOR_EVENT 0xBF20u

static bool half_word_is(machine *self, uint32_t address, uint16_t expected) {
    uint16_t instruction = 0;
    return machine_read(self, address, &instruction, sizeof(instruction)) && instruction == expected;
}

/* A breakpoint that is a semihosting call, behind which the firmware goes on. */
static bool served_semihosting(machine *self, uint32_t *pc) {
    uint32_t code = 0, operation = 0;
    if (!half_word_is(self, *pc, SEMIHOSTING_BREAKPOINT)) {
        return false;
    }
    uc_reg_read(self->uc, UC_ARM_REG_R0, &operation);
    semihosting_result result = semihosting_call(&self->semihosting, self->uc, cycles_now(self), &code);
    if (result == SEMIHOSTING_EXIT) {
        self->stop = (machine_stop){.reason = STOP_EXIT, .detail = code};
        return false;
    }
    if (result == SEMIHOSTING_REFUSED) {
        access_log_add(&self->refused_calls, operation, self->running_block, false);
    }
    *pc += 2;
    return true;
}

static bool entered_exception(machine *self, exception number, uint32_t *pc) {
    if (number == NO_EXCEPTION || !exceptions_enter(self->uc, &self->peripherals, number, *pc)) {
        self->stop.reason = STOP_EXCEPTION;
        self->stop.detail = number == EXCEPTION_SVC ? SVC_EXCEPTION : (uint32_t)number;
        return false;
    }
    if (self->timing.exception) {
        self->timing.exception(self->timing.model);
    }
    uc_reg_read(self->uc, UC_ARM_REG_PC, pc);
    return true;
}

static bool left_exception(machine *self, uint32_t *pc) {
    if (!exceptions_is_return(self->uc, *pc) || !exceptions_leave(self->uc, *pc, pc)) {
        return false;
    }
    if (self->timing.exception) {
        self->timing.exception(self->timing.model);
    }
    return true;
}

/* The core waits for an interrupt. If SysTick brings one, time passes until it does. */
static bool slept(machine *self) {
    uint64_t cycles;
    if (!self->is_any_firmware || !peripherals_next_tick(&self->peripherals, &cycles)) {
        self->stop = (machine_stop){.reason = STOP_SLEEP};
        return false;
    }
    if (self->timing.sleep) {
        self->timing.sleep(self->timing.model, cycles);
    } else {
        self->slept += cycles;
    }
    return true;
}

bool machine_goes_on(machine *self, uint32_t *pc) {
    const machine_stop *stop = &self->stop;
    switch (stop->reason) {
    case STOP_BREAKPOINT:
        return served_semihosting(self, pc);
    case STOP_INTERRUPT:
        return entered_exception(self, exceptions_next(self->uc, &self->peripherals), pc);
    case STOP_EXCEPTION:
        return self->is_any_firmware &&
               ((stop->detail == SVC_EXCEPTION && entered_exception(self, EXCEPTION_SVC, pc)) ||
                (stop->detail == PREFETCH_EXCEPTION && left_exception(self, pc)));
    case STOP_ENGINE_ERROR: /* Unicorn returns from WFI as if all were done, and from WFE and YIELD with an error */
        return (stop->detail == UC_ERR_OK && slept(self)) ||
               (stop->detail == UC_ERR_INSN_INVALID &&
                (half_word_is(self, *pc - 2, WAIT_FOR_EVENT) || half_word_is(self, *pc - 2, YIELD)));
    default:
        return false;
    }
}
