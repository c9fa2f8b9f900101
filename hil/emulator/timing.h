/* What a timing model is to the machine. Without one, time is instructions times a constant.
 *
 * The machine calls `decode` once for every block of code (straight-line instructions, entered only at its start),
 * `enter` each time one is executed and, if it is not null, `access` before each instruction of the block that loads or
 * stores: the one at `*next_access`, which the model keeps up to date. `cycles` is the time so far: until the last
 * access of the entered block, or until its start. `maintain` tells of a write to the registers that configure caches
 * and MPU and that maintain caches and branch prediction, by its offset in the system control space, or to the flash's
 * access control register, where the flash has caches.
 *
 * Accesses are found by their instructions and not with Unicorn's memory hooks: those cost ten times as much (each
 * restores the state of the core, in a time that grows with the block) and leave stale IT state behind. */
#ifndef HILNAS_TIMING_H
#define HILNAS_TIMING_H

#include <stdbool.h>
#include <stdint.h>

/* The access control register in place of such an offset: where the system control space has no register. */
enum { TIMING_FLASH_CONTROL = 0 };

/* The value of r0 to r15 or, number 16, the flags as in APSR. */
typedef uint32_t timing_register_reader(void *machine, unsigned number);

typedef struct {
    void *model;
    void *(*decode)(void *model, uint32_t address, const uint8_t *code, uint32_t size);
    void (*enter)(void *model, void *block);
    void (*access)(void *model, timing_register_reader *read_register, void *machine);
    const uint32_t *next_access;
    uint64_t (*cycles)(void *model);
    void (*maintain)(void *model, uint32_t offset, uint32_t value);
    void (*sleep)(void *model, uint64_t cycles); /* the core waits for an interrupt */
    void (*exception)(void *model);              /* an exception is entered or left */
} timing_model;

#endif
