/* STM32F746: clocks and pins, from RM0385. Everything runs from the internal 16 MHz oscillator; the UART is clocked by
 * it directly, so that it can report a PLL that does not start. */
#include "clock.h"
#include "hilnas_board.h"
#include "registers.h"

#define RCC 0x40023800u
#define RCC_CR REGISTER(RCC + 0x00)
#define RCC_PLLCFGR REGISTER(RCC + 0x04)
#define RCC_CFGR REGISTER(RCC + 0x08)
#define RCC_AHB1ENR REGISTER(RCC + 0x30)
#define RCC_APB1ENR REGISTER(RCC + 0x40)
#define RCC_APB2ENR REGISTER(RCC + 0x44)
#define RCC_DCKCFGR2 REGISTER(RCC + 0x90)
#define PWR_CR1 REGISTER(0x40007000u)
#define PWR_CSR1 REGISTER(0x40007004u)
#define FLASH_ACR REGISTER(0x40023C00u)
#define GPIO(port) (0x40020000u + 0x400u * (port))

#define PLL_INPUT_MHZ 2u /* 16 MHz / 8 */
#define USART1 0x40011000u

/* One regulator feeds the core, and all RAMs run from reset. */
const char *clock_choose_supply(void) {
    return 0;
}

void clock_start_memories(void) {}

const char *clock_start(void) {
    register_set(&RCC_APB1ENR, 1u << 28); /* PWR */
    (void)RCC_APB1ENR;
    register_replace(&PWR_CR1, 3u << 14, 3u << 14); /* voltage scale 1 */
    /* M, N, P = 2 from HSI, Q = 9; the other bits are reserved. */
    register_replace(&RCC_PLLCFGR, 0x0F437FFF, 8u | (HILNAS_CLOCK_HZ / 1000000u * 2u / PLL_INPUT_MHZ) << 6 | 9u << 24);
    register_set(&RCC_CR, 1u << 24);
    if (!register_becomes(&RCC_CR, 1u << 25, 1u << 25)) {
        return "RCC_CR.PLLRDY";
    }
    register_set(&PWR_CR1, 1u << 16);
    if (!register_becomes(&PWR_CSR1, 1u << 16, 1u << 16)) {
        return "PWR_CSR1.ODRDY";
    }
    register_set(&PWR_CR1, 1u << 17);
    if (!register_becomes(&PWR_CSR1, 1u << 17, 1u << 17)) {
        return "PWR_CSR1.ODSWRDY";
    }
    FLASH_ACR = 7u | 1u << 8 | 1u << 9; /* 7 wait states (RM0385 table 7: 216 MHz), prefetch, accelerator */
    if (!register_becomes(&FLASH_ACR, 0xF, 7u)) {
        return "FLASH_ACR.LATENCY";
    }
    register_replace(&RCC_CFGR, 7u << 10 | 7u << 13, 5u << 10 | 4u << 13); /* APB1 / 4, APB2 / 2 */
    register_replace(&RCC_CFGR, 3u, 2u);
    if (!register_becomes(&RCC_CFGR, 3u << 2, 2u << 2)) {
        return "RCC_CFGR.SWS";
    }
    return 0;
}

static void connect_pin(uint32_t port, uint32_t pin) {
    register_set(&RCC_AHB1ENR, 1u << port);
    (void)RCC_AHB1ENR;
    register_replace(&REGISTER(GPIO(port) + 0x20 + pin / 8 * 4), 15u << (pin % 8 * 4), HILNAS_UART_AF << (pin % 8 * 4));
    register_replace(&REGISTER(GPIO(port) + 0x00), 3u << (pin * 2), 2u << (pin * 2)); /* alternate function */
}

void clock_start_uart(void) {
    _Static_assert(HILNAS_UART_BASE == USART1, "the report goes over USART1");
    register_replace(&RCC_DCKCFGR2, 3u, 2u); /* USART1 from HSI */
    register_set(&RCC_APB2ENR, 1u << 4);
    (void)RCC_APB2ENR;
    connect_pin(HILNAS_UART_TX_PORT, HILNAS_UART_TX_PIN);
    connect_pin(HILNAS_UART_RX_PORT, HILNAS_UART_RX_PIN);
}
