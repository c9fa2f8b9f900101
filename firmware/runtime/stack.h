/* How deep the stack has been. */
#ifndef HILNAS_STACK_H
#define HILNAS_STACK_H

#include <stdbool.h>
#include <stdint.h>

extern uint32_t __stack_bottom[], __stack_top[];

/* Fills what is free of the stack with a pattern. */
void stack_paint(void);
/* Bytes of the stack that have been written since. */
uint32_t stack_peak(void);

#endif
