#include "machine_state.h"
#include <stdlib.h>
#include <string.h>

#define NOWHERE 1u /* no instruction has an odd address */

/* The regions of the address space that hold peripherals, and the core's own. */
static const struct {
    uint32_t base, size;
} peripheral_regions[] = {{0x40000000, 0x20000000}, {0xE0000000, 0x00100000}};

uint64_t cycles_now(void *machine_pointer) {
    const machine *self = machine_pointer;
    return self->timing.cycles ? self->timing.cycles(self->timing.model)
                               : (uint64_t)((double)self->instructions * self->cycles_per_instruction) + self->slept;
}

static void maintain(void *machine_pointer, uint32_t offset, uint32_t value) {
    const machine *self = machine_pointer;
    if (self->timing.maintain) {
        self->timing.maintain(self->timing.model, offset, value);
    }
}

/* The machine stops before the next block. */
static void stop_soon(machine *self, stop_reason reason, uint32_t address, uint32_t size, bool is_write,
                      uint32_t detail) {
    if (!self->is_stopping) {
        self->is_stopping = true;
        self->stop =
            (machine_stop){.reason = reason, .address = address, .size = size, .is_write = is_write, .detail = detail};
    }
}

static bool contains(const uint32_t *addresses, size_t count, uint32_t address) {
    for (size_t i = 0; i < count; i++) {
        if (addresses[i] == address) {
            return true;
        }
    }
    return false;
}

static void enter_mark(machine *self) {
    uint32_t argument = 0, link = 0;
    uc_reg_read(self->uc, UC_ARM_REG_R0, &argument);
    uc_reg_read(self->uc, UC_ARM_REG_LR, &link);
    self->return_address = link & ~1u;
    mark_log_add(&self->marks, (machine_mark){argument, self->instructions, cycles_now(self), 0, 0});
}

static void leave_mark(machine *self) {
    machine_mark *mark = &self->marks.items[self->marks.count - 1];
    mark->return_instructions = self->instructions;
    mark->return_cycles = cycles_now(self);
    self->return_address = NOWHERE;
}

/* What is known of the code at an address. Size 0: memory is short. */
static block decode(machine *self, uint32_t address, uint32_t size) {
    block decoded = {0};
    uint8_t *code = malloc(size);
    if (code && uc_mem_read(self->uc, address, code, size) == UC_ERR_OK) {
        void *timing = self->timing.decode ? self->timing.decode(self->timing.model, address, code, size) : NULL;
        decoded = (block){
            .address = address,
            .size = size,
            .instructions = thumb_instructions(code, size),
            .checksum = code_checksum(code, size),
            .is_endless = is_endless(code, size),
            .timing = timing,
        };
    }
    free(code);
    return decoded;
}

static block *add_block(machine *self, uint32_t address, uint32_t size) {
    block decoded = decode(self, address, size);
    block *added = decoded.size == 0 ? NULL : blocks_add(&self->blocks, decoded);
    if (!added) {
        abort();
    }
    return added;
}

/* Called when Unicorn translates a block: code that it knew at that address may have been replaced. */
static void on_translation(uc_engine *uc, uc_tb *translated, uc_tb *before, void *machine_pointer) {
    (void)uc, (void)before;
    machine *self = machine_pointer;
    uint32_t address = (uint32_t)translated->pc & ~1u;
    block *known = blocks_find(&self->blocks, address, translated->size);
    if (known->size == 0) {
        return;
    }
    block now = decode(self, address, translated->size);
    if (now.size != 0 && now.checksum != known->checksum) {
        *known = now;
        access_log_add(&self->replaced_code, address, address, true);
    }
}

static bool wants_exception(machine *self) {
    return self->is_any_firmware && self->peripherals.may_interrupt && peripherals_interrupt(&self->peripherals) &&
           exceptions_next(self->uc, &self->peripherals) != NO_EXCEPTION;
}

/* Called before each block. What asks to stop is obeyed here, where nothing is half done. */
static void on_block(uc_engine *uc, uint64_t address64, uint32_t size, void *machine_pointer) {
    machine *self = machine_pointer;
    uint32_t address = (uint32_t)address64;
    bool is_watched = self->stops_at_count > 0 && contains(self->stops_at, self->stops_at_count, address);
    if (wants_exception(self)) {
        stop_soon(self, STOP_INTERRUPT, 0, 0, false, 0);
    } else if (peripherals_idle(&self->peripherals)) {
        stop_soon(self, STOP_IDLE, 0, 0, false, 0);
    } else if (is_watched && !self->is_resuming) {
        stop_soon(self, STOP_SYMBOL, address, 0, false, 0);
    } else if (self->instructions >= self->limit && !self->is_resuming) {
        stop_soon(self, STOP_LIMIT, 0, 0, false, 0);
    }
    if (self->is_stopping) {
        uc_emu_stop(uc);
        return;
    }
    self->is_resuming = false;
    block *entered = blocks_find(&self->blocks, address, size);
    if (entered->size == 0) {
        entered = add_block(self, address, size);
    }
    if (entered->is_endless && self->is_any_firmware && !self->peripherals.may_interrupt) {
        stop_soon(self, STOP_ENDLESS, 0, 0, false, 0);
        uc_emu_stop(uc);
        return;
    }
    self->running_block = address;
    if (self->timing.enter) {
        self->timing.enter(self->timing.model, entered->timing);
    }
    if (address == self->return_address) {
        leave_mark(self);
    }
    if (contains(self->marks_at, self->marks_at_count, address)) {
        enter_mark(self);
    }
    self->instructions += entered->instructions;
}

static void report_access(machine *self, access_result result, uint32_t address, uint32_t size, bool is_write) {
    if (result != ACCESS_DONE && self->is_any_firmware) {
        access_log_add(&self->unknown_accesses, address, self->running_block, is_write);
    } else if (result != ACCESS_DONE) {
        stop_soon(self, result == ACCESS_UNMAPPED ? STOP_UNMAPPED : STOP_UNCLOCKED, address, size, is_write, 0);
    } else if (self->peripherals.reset_requested) {
        stop_soon(self, STOP_RESET, address, size, is_write, 0);
    }
}

static uint64_t on_peripheral_read(machine *self, uint32_t address, unsigned size) {
    uint32_t value;
    report_access(self, peripherals_read(&self->peripherals, address, size, &value), address, size, false);
    return value;
}

static void on_peripheral_write(machine *self, uint32_t address, unsigned size, uint64_t value) {
    report_access(self, peripherals_write(&self->peripherals, address, size, (uint32_t)value), address, size, true);
}

static uint64_t on_low_read(uc_engine *uc, uint64_t offset, unsigned size, void *self) {
    (void)uc;
    return on_peripheral_read(self, peripheral_regions[0].base + (uint32_t)offset, size);
}

static void on_low_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *self) {
    (void)uc;
    on_peripheral_write(self, peripheral_regions[0].base + (uint32_t)offset, size, value);
}

static uint64_t on_core_read(uc_engine *uc, uint64_t offset, unsigned size, void *self) {
    (void)uc;
    return on_peripheral_read(self, peripheral_regions[1].base + (uint32_t)offset, size);
}

static void on_core_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *self) {
    (void)uc;
    on_peripheral_write(self, peripheral_regions[1].base + (uint32_t)offset, size, value);
}

/* Outside everything that is mapped. The engine gives the access up when this returns false. */
static bool on_unmapped(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *self) {
    (void)uc, (void)value;
    stop_soon(self, STOP_UNMAPPED, (uint32_t)address, (uint32_t)size,
              type == UC_MEM_WRITE_UNMAPPED || type == UC_MEM_WRITE_PROT, 0);
    return false;
}

static void on_exception(uc_engine *uc, uint32_t number, void *self) {
    stop_soon(self, number == BREAKPOINT_EXCEPTION ? STOP_BREAKPOINT : STOP_EXCEPTION, 0, 0, false, number);
    uc_emu_stop(uc);
}

static uint32_t read_register(void *machine_pointer, unsigned number) {
    static const int registers[17] = {
        UC_ARM_REG_R0,  UC_ARM_REG_R1, UC_ARM_REG_R2, UC_ARM_REG_R3, UC_ARM_REG_R4,   UC_ARM_REG_R5,
        UC_ARM_REG_R6,  UC_ARM_REG_R7, UC_ARM_REG_R8, UC_ARM_REG_R9, UC_ARM_REG_R10,  UC_ARM_REG_R11,
        UC_ARM_REG_R12, UC_ARM_REG_SP, UC_ARM_REG_LR, UC_ARM_REG_PC, UC_ARM_REG_APSR,
    };
    const machine *self = machine_pointer;
    uint32_t value = 0;
    uc_reg_read(self->uc, registers[number], &value);
    return value;
}

/* Called before each instruction when the timing model wants to know of accesses. */
static void on_instruction(uc_engine *uc, uint64_t address, uint32_t size, void *machine_pointer) {
    (void)uc, (void)size;
    machine *self = machine_pointer;
    if ((uint32_t)address == *self->timing.next_access) {
        self->timing.access(self->timing.model, read_register, self);
    }
}

static bool hook(machine *self, int type, void *callback) {
    uc_hook handle;
    return uc_hook_add(self->uc, &handle, type, callback, self, (uint64_t)1, (uint64_t)0) == UC_ERR_OK;
}

static bool start_engine(machine *self) {
    if (uc_open(UC_ARCH_ARM, UC_MODE_THUMB, &self->uc) != UC_ERR_OK) {
        return false;
    }
    return uc_ctl_set_cpu_model(self->uc, self->peripherals.part->core->unicorn_model) == UC_ERR_OK &&
           hook(self, UC_HOOK_BLOCK, (void *)on_block) && hook(self, UC_HOOK_EDGE_GENERATED, (void *)on_translation) &&
           hook(self, UC_HOOK_INTR, (void *)on_exception) &&
           hook(self, UC_HOOK_MEM_UNMAPPED | UC_HOOK_MEM_PROT, (void *)on_unmapped) &&
           uc_mmio_map(self->uc, peripheral_regions[0].base, peripheral_regions[0].size, on_low_read, self,
                       on_low_write, self) == UC_ERR_OK &&
           uc_mmio_map(self->uc, peripheral_regions[1].base, peripheral_regions[1].size, on_core_read, self,
                       on_core_write, self) == UC_ERR_OK;
}

machine *machine_create(const char *part, uint32_t uart_base, double cycles_per_instruction) {
    machine *self = calloc(1, sizeof(machine));
    if (!self) {
        return NULL;
    }
    self->cycles_per_instruction = cycles_per_instruction;
    self->return_address = NOWHERE;
    if (!peripherals_create(&self->peripherals, part, uart_base) || !blocks_create(&self->blocks) ||
        !start_engine(self)) {
        machine_destroy(self);
        return NULL;
    }
    self->peripherals.cycles = cycles_now;
    self->peripherals.maintain = maintain;
    self->peripherals.machine = self;
    return self;
}

void machine_destroy(machine *self) {
    if (self->uc) {
        uc_close(self->uc);
    }
    peripherals_destroy(&self->peripherals);
    blocks_destroy(&self->blocks);
    free(self->marks.items);
    free(self->unknown_accesses.items);
    free(self->refused_calls.items);
    free(self->replaced_code.items);
    free(self->semihosting.console.data);
    free(self);
}

bool machine_set_timing(machine *self, const timing_model *timing) {
    self->timing = *timing;
    return !timing->access || hook(self, UC_HOOK_CODE, (void *)on_instruction);
}

bool machine_map(machine *self, uint32_t base, uint32_t size, bool writable) {
    return uc_mem_map(self->uc, base, size, UC_PROT_READ | UC_PROT_EXEC | (writable ? UC_PROT_WRITE : 0)) == UC_ERR_OK;
}

bool machine_write(machine *self, uint32_t address, const void *data, size_t size) {
    return uc_mem_write(self->uc, address, data, size) == UC_ERR_OK;
}

bool machine_read(machine *self, uint32_t address, void *data, size_t size) {
    return uc_mem_read(self->uc, address, data, size) == UC_ERR_OK;
}

bool machine_reset(machine *self, uint32_t vectors) {
    uint32_t words[2];
    return machine_read(self, vectors, words, sizeof(words)) && machine_start(self, vectors, words[0], words[1]);
}

bool machine_start(machine *self, uint32_t vectors, uint32_t stack_pointer, uint32_t entry) {
    peripherals_reset(&self->peripherals);
    peripherals_set_vectors(&self->peripherals, vectors);
    if (self->is_any_firmware) {
        peripherals_attach_debugger(&self->peripherals);
    }
    self->return_address = NOWHERE;
    return uc_reg_write(self->uc, UC_ARM_REG_SP, &stack_pointer) == UC_ERR_OK &&
           uc_reg_write(self->uc, UC_ARM_REG_PC, &entry) == UC_ERR_OK;
}

static bool add_watch(uint32_t *addresses, size_t *count, uint32_t address) {
    if (*count == MAX_WATCHES) {
        return false;
    }
    addresses[(*count)++] = address & ~1u;
    return true;
}

bool machine_mark_calls(machine *self, uint32_t address) {
    return add_watch(self->marks_at, &self->marks_at_count, address);
}

bool machine_stop_at(machine *self, uint32_t address) {
    return add_watch(self->stops_at, &self->stops_at_count, address);
}

/* Runs from `pc` until something stops it; returns where. */
static uint32_t run_until_stopped(machine *self, uint32_t pc) {
    self->is_stopping = false;
    self->is_resuming = true;
    uc_err error = uc_emu_start(self->uc, pc | 1u, NOWHERE, 0, 0);
    if (!self->is_stopping) {
        stop_soon(self, STOP_ENGINE_ERROR, 0, 0, false, error);
    }
    uc_reg_read(self->uc, UC_ARM_REG_PC, &pc);
    return pc;
}

void machine_run(machine *self, uint64_t instructions, machine_stop *stop) {
    uint32_t pc = 0;
    uc_reg_read(self->uc, UC_ARM_REG_PC, &pc);
    self->limit = self->instructions + instructions;
    do {
        pc = run_until_stopped(self, pc);
    } while (machine_goes_on(self, &pc));
    *stop = self->stop;
    stop->pc = pc;
    stop->block = self->running_block;
    stop->instructions = self->instructions;
    stop->cycles = cycles_now(self);
}

void machine_take_any_firmware(machine *self, const uint32_t heap[4], double cycles_per_second) {
    self->is_any_firmware = true;
    memcpy(self->semihosting.heap, heap, sizeof(self->semihosting.heap));
    self->semihosting.cycles_per_second = cycles_per_second;
}

void machine_forget_marks(machine *self) {
    self->marks.count = 0;
    self->return_address = NOWHERE;
}
