/* MPS2 AN500: its clocks run from the start and its UART has no pins to choose. */
#include "clock.h"

const char *clock_choose_supply(void) {
    return 0;
}

void clock_start_memories(void) {}

const char *clock_start(void) {
    return 0;
}

void clock_start_uart(void) {}
