/* From reset to the report: vector table, clocks, memory, and what happens on a fault. */
#include "clock.h"
#include "core.h"
#include "report.h"
#include "stack.h"
#include "uart.h"
#include <string.h>

typedef struct {
    const void *from;
    void *to;
    uint32_t size;
} copy_entry;

typedef struct {
    void *to;
    uint32_t size;
} zero_entry;

extern const copy_entry __copy_table[], __copy_table_end[];
extern const zero_entry __zero_table[], __zero_table_end[];

static void fill_memory(void) {
    for (const copy_entry *entry = __copy_table; entry < __copy_table_end; entry++) {
        if (entry->from != entry->to) {
            memcpy(entry->to, entry->from, entry->size);
        }
    }
    for (const zero_entry *entry = __zero_table; entry < __zero_table_end; entry++) {
        memset(entry->to, 0, entry->size);
    }
}

/* `missing` is what `clock_choose_supply` returned: without a supply the clocks stay as they are, and the host is told.
 */
__attribute__((noreturn, noinline, used)) static void start_up(const char *missing) {
    core_start();
    uart_start(); /* clocked by the oscillator that runs from reset: a fault from here on reaches the host */
    clock_start_memories();
    if (!missing) {
        missing = clock_start();
    }
    fill_memory();
    core_start_caches();
    stack_paint();
    report_loop(missing);
}

/* In assembly because C may keep something on the stack, which is in RAM. */
__attribute__((naked)) void reset_handler(void) {
    __asm volatile("bl clock_choose_supply\n"
                   "b start_up\n");
}

/* Takes the stacked frame. Where no room is left below it, or it lies elsewhere, the report gets a fresh stack: the
 * fault may be that the old one overflowed. */
__attribute__((naked)) static void fault_handler(void) {
    __asm volatile("mov r0, sp\n"
                   "ldr r1, =__stack_bottom\n"
                   "ldr r2, =__stack_top\n"
                   "add r1, r1, #512\n"
                   "cmp r0, r1\n"
                   "blo 1f\n"
                   "cmp r0, r2\n"
                   "bls 2f\n"
                   "1: msr msp, r2\n"
                   "2: b report_fault\n");
}

__attribute__((section(".vectors"), used)) const uint32_t vectors[16] = {
    (uint32_t)__stack_top,
    (uint32_t)reset_handler,
    (uint32_t)fault_handler,
    (uint32_t)fault_handler,
    (uint32_t)fault_handler,
    (uint32_t)fault_handler,
    (uint32_t)fault_handler,
    0,
    0,
    0,
    0,
    (uint32_t)fault_handler,
    (uint32_t)fault_handler,
    0,
    (uint32_t)fault_handler,
    (uint32_t)fault_handler,
};
