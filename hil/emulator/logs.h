/* What the machine notes while it runs: calls of marked functions, and what the firmware asked for in vain. */
#ifndef HILNAS_LOGS_H
#define HILNAS_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One call of a marked function: its first argument, and the counts when it was entered and when it returned. */
typedef struct {
    uint32_t argument;
    uint64_t entry_instructions;
    uint64_t entry_cycles;
    uint64_t return_instructions;
    uint64_t return_cycles;
} machine_mark;

/* Accesses to an address of a peripheral that is not modelled, or calls of a semihosting operation that is refused
 * (`address` is its number), and the block that made the first. */
typedef struct {
    uint32_t address;
    uint32_t block;
    uint64_t is_write;
    uint64_t count;
} machine_access;

typedef struct {
    machine_mark *items;
    size_t count, capacity;
} mark_log;

/* One item for each address and direction. */
typedef struct {
    machine_access *items;
    size_t count, capacity;
} access_log;

void mark_log_add(mark_log *self, machine_mark mark);
void access_log_add(access_log *self, uint32_t address, uint32_t block, bool is_write);

#endif
