/* A board in software: Unicorn's Cortex-M7, the board's memories, and the peripherals that firmware uses.
 *
 * Time passes in whole blocks of code. The machine stops only between blocks, so that what it counts does not depend on
 * how often it is stopped. */
#ifndef HILNAS_MACHINE_H
#define HILNAS_MACHINE_H

#include "logs.h"
#include "timing.h"
#include <stddef.h>

typedef struct machine machine;

typedef enum {
    STOP_LIMIT,        /* as many instructions as were asked for have run */
    STOP_IDLE,         /* the firmware waits for a byte on its UART and there is none */
    STOP_SYMBOL,       /* a watched address was reached */
    STOP_RESET,        /* the firmware asked for a reset */
    STOP_UNMAPPED,     /* an access outside all memories and peripherals, or a write to flash: `address` */
    STOP_UNCLOCKED,    /* an access to a peripheral whose clock is off: `address` */
    STOP_EXCEPTION,    /* an exception, which the machine does not take: `detail` is Unicorn's number */
    STOP_ENGINE_ERROR, /* anything else that Unicorn reports: `detail` is its error */
    STOP_BREAKPOINT,   /* BKPT other than a semihosting call */
    STOP_EXIT,         /* the firmware ended itself by semihosting: `detail` is its exit code */
    STOP_SLEEP,        /* WFI, and no interrupt will come */
    STOP_ENDLESS,      /* a branch to itself, and no interrupt will come */
    STOP_INTERRUPT,    /* never seen outside: an exception is to be taken */
} stop_reason;

typedef struct {
    uint32_t reason;
    uint32_t pc;
    uint32_t block; /* where the last block that ran begins */
    uint32_t address;
    uint32_t size;
    uint32_t is_write;
    uint32_t detail;
    uint32_t reserved;
    uint64_t instructions;
    uint64_t cycles;
} machine_stop;

/* `part` names the peripherals; `uart_base` is the UART that is connected. Null if the part is not known or memory is
 * short. */
machine *machine_create(const char *part, uint32_t uart_base, double cycles_per_instruction);
void machine_destroy(machine *self);

/* Takes a timing model, which must live as long as the machine. False if Unicorn refuses its hooks. */
bool machine_set_timing(machine *self, const timing_model *timing);

bool machine_map(machine *self, uint32_t base, uint32_t size, bool writable);
bool machine_write(machine *self, uint32_t address, const void *data, size_t size);
bool machine_read(machine *self, uint32_t address, void *data, size_t size);

/* Sets the stack pointer and the program counter from the vector table at `vectors`. */
bool machine_reset(machine *self, uint32_t vectors);

/* The same with another stack pointer and entry; exceptions go by the table at `vectors`. */
bool machine_start(machine *self, uint32_t vectors, uint32_t stack_pointer, uint32_t entry);

/* From now on, peripherals that are not modelled, or not clocked, read as zero; exceptions are taken; a branch to
 * itself ends the run. What could not be done is noted. `heap` is what SYS_HEAPINFO tells. */
void machine_take_any_firmware(machine *self, const uint32_t heap[4], double cycles_per_second);
size_t machine_unknown_count(const machine *self);
const machine_access *machine_unknown_accesses(const machine *self);
size_t machine_refused_count(const machine *self);
const machine_access *machine_refused_calls(const machine *self);

/* Blocks of code that ran, were replaced, and ran again. */
size_t machine_replaced_count(const machine *self);
const machine_access *machine_replaced_code(const machine *self);

bool machine_mark_calls(machine *self, uint32_t address);
bool machine_stop_at(machine *self, uint32_t address);

/* Runs until something stops it, at the latest when `instructions` more have run. */
void machine_run(machine *self, uint64_t instructions, machine_stop *stop);

void machine_uart_send(machine *self, const uint8_t *data, size_t size);
size_t machine_uart_receive(machine *self, uint8_t *data, size_t capacity);

/* What the firmware wrote by semihosting. */
size_t machine_console_receive(machine *self, uint8_t *data, size_t capacity);

size_t machine_mark_count(const machine *self);
const machine_mark *machine_marks(const machine *self);
void machine_forget_marks(machine *self);

/* The core's clock as the clock tree is set now, in hertz; 0 where the part's clocks are not modelled. */
uint64_t machine_clock_hz(const machine *self);

#endif
