/* How deep the stack has been. */
#ifndef HILNAS_STACK_H
#define HILNAS_STACK_H

#include <stdbool.h>
#include <stdint.h>

/* The lowest HILNAS_STACK_GUARD_BYTES of it may not be touched. */
extern uint32_t __stack_bottom[], __stack_top[];

/* Fills what is free of the stack with a pattern. */
void stack_paint(void);
/* Bytes of the stack that have been written since. */
uint32_t stack_peak(void);

#endif
