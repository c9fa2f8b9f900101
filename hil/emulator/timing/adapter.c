/* The timing model as the machine wants it (../timing.h). */
#include "timing.h"

#include "model.h"

static void *decode(void *model, uint32_t address, const uint8_t *code, uint32_t size) {
    return model_decode(model, address, code, size);
}

static void enter(void *model, void *block) {
    model_enter(model, block);
}

static void on_access(void *model, timing_register_reader *read_register, void *machine) {
    model_access(model, read_register, machine);
}

static void maintain(void *model, uint32_t offset, uint32_t value) {
    model_maintain(model, offset, value);
}

static uint64_t cycles(void *model) {
    return model_cycles(model);
}

static void on_sleep(void *model, uint64_t cycles) {
    model_sleep(model, cycles);
}

static void on_exception(void *model) {
    model_exception(model);
}

void model_as_timing(struct model *model, bool with_accesses, timing_model *timing) {
    *timing =
        (timing_model){model,    decode,   enter,       with_accesses ? on_access : 0, model_next_access(model), cycles,
                       maintain, on_sleep, on_exception};
}
