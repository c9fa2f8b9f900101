#include "stack.h"
#include "hilnas_board.h"

#define PATTERN 0xA5C3A5C3u
#define GUARD_WORDS (HILNAS_STACK_GUARD_BYTES / 4u)

/* A volatile pointer: the compiler must not make this a call of memset, whose frame would be painted over. */
void stack_paint(void) {
    uint32_t *pointer;
    __asm volatile("mov %0, sp" : "=r"(pointer));
    for (volatile uint32_t *word = __stack_bottom + GUARD_WORDS; word < pointer; word++) {
        *word = PATTERN;
    }
}

uint32_t stack_peak(void) {
    const volatile uint32_t *word = __stack_bottom + GUARD_WORDS;
    while (word < __stack_top && *word == PATTERN) {
        word++;
    }
    return (uint32_t)((uintptr_t)__stack_top - (uintptr_t)word);
}
