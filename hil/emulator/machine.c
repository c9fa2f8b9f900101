#include "machine.h"
#include "blocks.h"
#include "peripherals.h"
#include "semihosting.h"
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#define MAX_WATCHES 8u
#define NOWHERE 1u              /* no instruction has an odd address */
#define BREAKPOINT_EXCEPTION 7u /* QEMU, target/arm/cpu.h: EXCP_BKPT */

/* The regions of the address space that hold peripherals, and the core's own. */
static const struct {
    uint32_t base, size;
} peripheral_regions[] = {{0x40000000, 0x20000000}, {0xE0000000, 0x00100000}};

struct machine {
    uc_engine *uc;
    peripherals peripherals;
    block_table blocks;
    timing_model timing;
    double cycles_per_instruction;
    uint64_t instructions;
    uint64_t limit;
    bool is_resuming; /* the block at which the machine was stopped has not run yet */
    bool is_stopping;
    uint32_t running_block; /* its address */
    machine_stop stop;
    uint32_t marks_at[MAX_WATCHES], stops_at[MAX_WATCHES];
    size_t marks_at_count, stops_at_count;
    machine_mark *marks;
    size_t mark_count, mark_capacity;
    uint32_t return_address; /* of the marked call that is running, or NOWHERE */
    byte_queue console;      /* what the firmware wrote by semihosting */
    bool tolerates_peripherals;
    machine_access *unknown_accesses; /* to peripherals, one for each address and direction */
    size_t unknown_count, unknown_capacity;
};

static uint64_t cycles_now(void *machine_pointer) {
    const machine *self = machine_pointer;
    return self->timing.cycles ? self->timing.cycles(self->timing.model)
                               : (uint64_t)((double)self->instructions * self->cycles_per_instruction);
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
    if (self->mark_count == self->mark_capacity) {
        size_t capacity = 2 * self->mark_capacity + 64;
        machine_mark *grown = realloc(self->marks, capacity * sizeof(*grown));
        if (!grown) {
            abort();
        }
        self->marks = grown;
        self->mark_capacity = capacity;
    }
    uint32_t argument = 0, link = 0;
    uc_reg_read(self->uc, UC_ARM_REG_R0, &argument);
    uc_reg_read(self->uc, UC_ARM_REG_LR, &link);
    self->return_address = link & ~1u;
    self->marks[self->mark_count++] = (machine_mark){argument, self->instructions, cycles_now(self), 0, 0};
}

static void leave_mark(machine *self) {
    machine_mark *mark = &self->marks[self->mark_count - 1];
    mark->return_instructions = self->instructions;
    mark->return_cycles = cycles_now(self);
    self->return_address = NOWHERE;
}

static block *decode(machine *self, uint32_t address, uint32_t size) {
    uint8_t *code = malloc(size);
    block *added = NULL;
    if (code && uc_mem_read(self->uc, address, code, size) == UC_ERR_OK) {
        void *timing = self->timing.decode ? self->timing.decode(self->timing.model, address, code, size) : NULL;
        added = blocks_add(&self->blocks, (block){address, size, thumb_instructions(code, size), 0, timing});
    }
    free(code);
    if (!added) {
        abort();
    }
    return added;
}

/* Called before each block. What asks to stop is obeyed here, where nothing is half done. */
static void on_block(uc_engine *uc, uint64_t address64, uint32_t size, void *machine_pointer) {
    machine *self = machine_pointer;
    uint32_t address = (uint32_t)address64;
    bool is_watched = self->stops_at_count > 0 && contains(self->stops_at, self->stops_at_count, address);
    if (peripherals_idle(&self->peripherals)) {
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
        entered = decode(self, address, size);
    }
    self->running_block = address;
    entered->executions++;
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

/* Notes an access to a peripheral that is not modelled: it reads as zero and what is written to it is lost. */
static void note_unknown(machine *self, uint32_t address, bool is_write) {
    for (size_t i = 0; i < self->unknown_count; i++) {
        if (self->unknown_accesses[i].address == address && self->unknown_accesses[i].is_write == is_write) {
            self->unknown_accesses[i].count++;
            return;
        }
    }
    if (self->unknown_count == self->unknown_capacity) {
        size_t capacity = 2 * self->unknown_capacity + 16;
        machine_access *grown = realloc(self->unknown_accesses, capacity * sizeof(*grown));
        if (!grown) {
            abort();
        }
        self->unknown_accesses = grown;
        self->unknown_capacity = capacity;
    }
    self->unknown_accesses[self->unknown_count++] = (machine_access){address, self->running_block, is_write, 1};
}

static void report_access(machine *self, access_result result, uint32_t address, uint32_t size, bool is_write) {
    if (result != ACCESS_DONE && self->tolerates_peripherals) {
        note_unknown(self, address, is_write);
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
    return uc_ctl_set_cpu_model(self->uc, UC_CPU_ARM_CORTEX_M7) == UC_ERR_OK &&
           hook(self, UC_HOOK_BLOCK, (void *)on_block) && hook(self, UC_HOOK_INTR, (void *)on_exception) &&
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
    free(self->marks);
    free(self->unknown_accesses);
    free(self->console.data);
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
    return machine_read(self, vectors, words, sizeof(words)) && machine_start(self, words[0], words[1]);
}

bool machine_start(machine *self, uint32_t stack_pointer, uint32_t entry) {
    peripherals_reset(&self->peripherals);
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

/* Whether the firmware stopped at a breakpoint that was a semihosting call, and goes on behind it. */
static bool served_semihosting(machine *self, uint32_t pc) {
    uint16_t instruction = 0;
    uint32_t code = 0;
    if (self->stop.reason != STOP_BREAKPOINT || !machine_read(self, pc, &instruction, sizeof(instruction)) ||
        instruction != SEMIHOSTING_BREAKPOINT) {
        return false;
    }
    if (semihosting_call(self->uc, &self->console, &code)) {
        self->stop = (machine_stop){.reason = STOP_EXIT, .detail = code};
        return false;
    }
    return true;
}

void machine_run(machine *self, uint64_t instructions, machine_stop *stop) {
    uint32_t pc = 0;
    uc_reg_read(self->uc, UC_ARM_REG_PC, &pc);
    self->limit = self->instructions + instructions;
    pc = run_until_stopped(self, pc);
    while (served_semihosting(self, pc)) {
        pc = run_until_stopped(self, pc + 2);
    }
    *stop = self->stop;
    stop->pc = pc;
    stop->block = self->running_block;
    stop->instructions = self->instructions;
    stop->cycles = cycles_now(self);
}

void machine_uart_send(machine *self, const uint8_t *data, size_t size) {
    queue_push(&self->peripherals.to_device, data, size);
    self->peripherals.empty_polls = 0;
}

size_t machine_uart_receive(machine *self, uint8_t *data, size_t capacity) {
    return queue_pop(&self->peripherals.to_host, data, capacity);
}

size_t machine_console_receive(machine *self, uint8_t *data, size_t capacity) {
    return queue_pop(&self->console, data, capacity);
}

void machine_tolerate_peripherals(machine *self) {
    self->tolerates_peripherals = true;
}

size_t machine_unknown_count(const machine *self) {
    return self->unknown_count;
}

const machine_access *machine_unknown_accesses(const machine *self) {
    return self->unknown_accesses;
}

size_t machine_mark_count(const machine *self) {
    return self->mark_count;
}

const machine_mark *machine_marks(const machine *self) {
    return self->marks;
}

void machine_forget_marks(machine *self) {
    self->mark_count = 0;
    self->return_address = NOWHERE;
}

size_t machine_executions(const machine *self, machine_block *rows, size_t capacity) {
    size_t count = 0;
    for (size_t i = 0; i < self->blocks.capacity; i++) {
        const block *slot = &self->blocks.slots[i];
        if (slot->size == 0) {
            continue;
        }
        if (count < capacity) {
            rows[count] = (machine_block){slot->address, slot->size, slot->executions};
        }
        count++;
    }
    return count;
}

uint64_t machine_clock_hz(const machine *self) {
    return self->peripherals.part->clock_hz ? self->peripherals.part->clock_hz(&self->peripherals) : 0;
}
