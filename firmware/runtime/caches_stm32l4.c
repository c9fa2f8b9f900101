/* The caches of the STM32L4's flash, from RM0432: the Cortex-M4 has none. They can only be emptied while they are off.
 */
#include "core.h"

#define FLASH_ACR REGISTER(0x40022000u)

enum { ICEN = 1u << 9, DCEN = 1u << 10, ICRST = 1u << 11, DCRST = 1u << 12 };

void core_start_caches(void) {
    register_set(&FLASH_ACR, ICEN | DCEN);
}

void core_forget(void) {
    register_replace(&FLASH_ACR, ICEN | DCEN, 0);
    register_set(&FLASH_ACR, ICRST | DCRST);
    register_replace(&FLASH_ACR, ICRST | DCRST, 0);
    register_set(&FLASH_ACR, ICEN | DCEN);
    core_barrier();
}
