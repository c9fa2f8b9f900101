/* The caches and the branch prediction of the Cortex-M7, from the ARMv7-M Architecture Reference Manual (DDI 0403) and
 * the Cortex-M7 TRM (DDI 0489). */
#include "core.h"

#define CCR REGISTER(0xE000ED14u)
#define CCSIDR REGISTER(0xE000ED80u)
#define CSSELR REGISTER(0xE000ED84u)
#define ICIALLU REGISTER(0xE000EF50u)
#define DCISW REGISTER(0xE000EF60u)
#define DCCISW REGISTER(0xE000EF74u)
#define BPIALL REGISTER(0xE000EF78u)

static void for_each_data_line(volatile uint32_t *maintain) {
    CSSELR = 0; /* the data cache of level 1 */
    core_barrier();
    uint32_t last_set = CCSIDR >> 13 & 0x7FFF;
    uint32_t last_way = CCSIDR >> 3 & 0x3FF;
    for (uint32_t set = 0; set <= last_set; set++) {
        for (uint32_t way = 0; way <= last_way; way++) {
            *maintain = set << 5 | way << 30;
        }
    }
    core_barrier();
}

void core_start_caches(void) {
    core_barrier();
    ICIALLU = 0;
    core_barrier();
    CCR |= 1u << 17;
    for_each_data_line(&DCISW);
    CCR |= 1u << 16;
    core_barrier();
}

void core_forget(void) {
    for_each_data_line(&DCCISW);
    ICIALLU = 0;
    BPIALL = 0;
    core_barrier();
}
