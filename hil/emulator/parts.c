/* Which part has which peripherals where, and which bit of RCC clocks them. */
#include "peripherals.h"
#include <string.h>
#include <unicorn/unicorn.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define CORE {&core_scs, 0xE000E000, 0x1000, 0, 0}, {&core_dwt, 0xE0001000, 0x1000, 0, 0}

/* STM32H743, STM32H747 and STM32H7A3 have these at the same places. */
#define H7_ENABLES_AHB4 0xE0
#define H7_ENABLES_APB1L 0xE8
#define H7_ENABLES_APB2 0xF0
#define H7_ENABLES_APB4 0xF4
#define H7_GPIO(port) {&plain_registers, 0x58020000 + 0x400 * (port), 0x400, H7_ENABLES_AHB4, (port)}
static const peripheral_place stm32h7[] = {
    CORE,
    {&stm32h7_rcc, 0x58024400, 0x400, 0, 0},
    {&stm32h7_pwr, 0x58024800, 0x30, 0, 0},
    {&stm32h7_flash, 0x52002000, 0x400, 0, 0},
    {&plain_registers, 0x58000400, 0x400, H7_ENABLES_APB4, 1}, /* SYSCFG */
    {&stm32_usart, 0x40011000, 0x400, H7_ENABLES_APB2, 4},     /* USART1 */
    {&stm32_usart, 0x40011400, 0x400, H7_ENABLES_APB2, 5},     /* USART6 */
    {&stm32_usart, 0x40004400, 0x400, H7_ENABLES_APB1L, 17},   /* USART2 */
    {&stm32_usart, 0x40004800, 0x400, H7_ENABLES_APB1L, 18},   /* USART3 */
    {&stm32_usart, 0x40004C00, 0x400, H7_ENABLES_APB1L, 19},   /* UART4 */
    {&stm32_usart, 0x40005000, 0x400, H7_ENABLES_APB1L, 20},   /* UART5 */
    {&stm32_usart, 0x40007800, 0x400, H7_ENABLES_APB1L, 30},   /* UART7 */
    {&stm32_usart, 0x40007C00, 0x400, H7_ENABLES_APB1L, 31},   /* UART8 */
    H7_GPIO(0),
    H7_GPIO(1),
    H7_GPIO(2),
    H7_GPIO(3),
    H7_GPIO(4),
    H7_GPIO(5),
    H7_GPIO(6),
    H7_GPIO(7),
    H7_GPIO(8),
    H7_GPIO(9),
    H7_GPIO(10),
};

#define F7_ENABLES_AHB1 0x30
#define F7_ENABLES_APB1 0x40
#define F7_ENABLES_APB2 0x44
#define F7_GPIO(port) {&plain_registers, 0x40020000 + 0x400 * (port), 0x400, F7_ENABLES_AHB1, (port)}
static const peripheral_place stm32f7[] = {
    CORE,
    {&stm32f7_rcc, 0x40023800, 0x400, 0, 0},
    {&stm32f7_pwr, 0x40007000, 0x400, F7_ENABLES_APB1, 28},
    {&plain_registers, 0x40023C00, 0x400, 0, 0},            /* FLASH */
    {&stm32_usart, 0x40011000, 0x400, F7_ENABLES_APB2, 4},  /* USART1 */
    {&stm32_usart, 0x40011400, 0x400, F7_ENABLES_APB2, 5},  /* USART6 */
    {&stm32_usart, 0x40004400, 0x400, F7_ENABLES_APB1, 17}, /* USART2 */
    {&stm32_usart, 0x40004800, 0x400, F7_ENABLES_APB1, 18}, /* USART3 */
    {&stm32_usart, 0x40004C00, 0x400, F7_ENABLES_APB1, 19}, /* UART4 */
    {&stm32_usart, 0x40005000, 0x400, F7_ENABLES_APB1, 20}, /* UART5 */
    {&stm32_usart, 0x40007800, 0x400, F7_ENABLES_APB1, 30}, /* UART7 */
    {&stm32_usart, 0x40007C00, 0x400, F7_ENABLES_APB1, 31}, /* UART8 */
    F7_GPIO(0),
    F7_GPIO(1),
    F7_GPIO(2),
    F7_GPIO(3),
    F7_GPIO(4),
    F7_GPIO(5),
    F7_GPIO(6),
    F7_GPIO(7),
    F7_GPIO(8),
    F7_GPIO(9),
    F7_GPIO(10),
};

#define L4_ENABLES_AHB2 0x4C
#define L4_ENABLES_APB1 0x58
#define L4_ENABLES_APB1_2 0x5C
#define L4_ENABLES_APB2 0x60
#define L4_GPIO(port) {&plain_registers, 0x48000000 + 0x400 * (port), 0x400, L4_ENABLES_AHB2, (port)}
static const peripheral_place stm32l4[] = {
    CORE,
    {&stm32l4_rcc, 0x40021000, 0x400, 0, 0},
    {&stm32l4_pwr, 0x40007000, 0x400, L4_ENABLES_APB1, 28},
    {&stm32l4_flash, 0x40022000, 0x400, 0, 0},
    {&stm32_usart, 0x40013800, 0x400, L4_ENABLES_APB2, 14},  /* USART1 */
    {&stm32_usart, 0x40004400, 0x400, L4_ENABLES_APB1, 17},  /* USART2 */
    {&stm32_usart, 0x40004800, 0x400, L4_ENABLES_APB1, 18},  /* USART3 */
    {&stm32_usart, 0x40004C00, 0x400, L4_ENABLES_APB1, 19},  /* UART4 */
    {&stm32_usart, 0x40005000, 0x400, L4_ENABLES_APB1, 20},  /* UART5 */
    {&stm32_usart, 0x40008000, 0x400, L4_ENABLES_APB1_2, 0}, /* LPUART1 */
    L4_GPIO(0),
    L4_GPIO(1),
    L4_GPIO(2),
    L4_GPIO(3),
    L4_GPIO(4),
    L4_GPIO(5),
    L4_GPIO(6),
    L4_GPIO(7),
    L4_GPIO(8),
};

static const peripheral_place mps2[] = {
    CORE,
    {&cmsdk_uart, 0x40004000, 0x1000, 0, 0},
};

static const core_model cortex_m7 = {UC_CPU_ARM_CORTEX_M7, 0x411FC271, 0x09000003, 16}; /* r1p1 */
static const core_model cortex_m4 = {UC_CPU_ARM_CORTEX_M4, 0x410FC241, 0, 8};           /* r0p1 */

static const part parts[] = {
    {"stm32h743", &cortex_m7, stm32h7, COUNT(stm32h7), 16384, 16384, stm32h7_clock_hz},
    {"stm32h7a3", &cortex_m7, stm32h7, COUNT(stm32h7), 16384, 16384, stm32h7_clock_hz},
    {"stm32f746", &cortex_m7, stm32f7, COUNT(stm32f7), 4096, 4096, stm32f7_clock_hz},
    {"stm32l4r5", &cortex_m4, stm32l4, COUNT(stm32l4), 0, 0, stm32l4_clock_hz},
    {"mps2-an500", &cortex_m7, mps2, COUNT(mps2), 4096, 4096, NULL},
};

const part *part_find(const char *name) {
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (strcmp(parts[i].name, name) == 0) {
            return &parts[i];
        }
    }
    return NULL;
}
