/* The least that newlib's start-up code needs of a Cortex-M7: vectors, and the FPU switched on. */
#include <stdint.h>

extern uint32_t __stack[];
void _start(void);

static void reset(void) {
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm volatile("dsb\n isb\n");
    _start();
}

__attribute__((section(".vectors"), used)) static void *const vectors[] = {(void *)__stack, (void *)reset};
