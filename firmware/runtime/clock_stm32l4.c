/* STM32L4R5: clocks and pins, from RM0432. Everything runs from the internal 16 MHz oscillator; the UART is clocked by
 * it directly, so that it can report a PLL that does not start. */
#include "clock.h"
#include "hilnas_board.h"
#include "registers.h"

#define RCC 0x40021000u
#define RCC_CR REGISTER(RCC + 0x00)
#define RCC_CFGR REGISTER(RCC + 0x08)
#define RCC_PLLCFGR REGISTER(RCC + 0x0C)
#define RCC_AHB2ENR REGISTER(RCC + 0x4C)
#define RCC_APB1ENR1 REGISTER(RCC + 0x58)
#define RCC_APB1ENR2 REGISTER(RCC + 0x5C)
#define RCC_CCIPR REGISTER(RCC + 0x88)
#define PWR_CR2 REGISTER(0x40007004u)
#define PWR_CR5 REGISTER(0x40007080u)
#define FLASH_ACR REGISTER(0x40022000u)
#define GPIO(port) (0x48000000u + 0x400u * (port))

#define PLL_INPUT_MHZ 8u /* 16 MHz / 2 */
#define LPUART1 0x40008000u
#define PORT_G 6u

/* One regulator feeds the core, and all RAMs run from reset. */
const char *clock_choose_supply(void) {
    return 0;
}

void clock_start_memories(void) {}

static void start_power_control(void) {
    register_set(&RCC_APB1ENR1, 1u << 28);
    (void)RCC_APB1ENR1;
}

/* Above 80 MHz the voltage range 1 is boosted, and the bus starts at half of the core's new clock. */
const char *clock_start(void) {
    start_power_control();
    register_set(&RCC_CR, 1u << 8);
    if (!register_becomes(&RCC_CR, 1u << 10, 1u << 10)) {
        return "RCC_CR.HSIRDY";
    }
    /* From HSI: M = 2, N, R = 2, which feeds the core. */
    RCC_PLLCFGR = 2u | (2u - 1) << 4 | (HILNAS_CLOCK_HZ / 1000000u * 2u / PLL_INPUT_MHZ) << 8 | 1u << 24;
    register_set(&RCC_CR, 1u << 24);
    if (!register_becomes(&RCC_CR, 1u << 25, 1u << 25)) {
        return "RCC_CR.PLLRDY";
    }
    register_replace(&RCC_CFGR, 15u << 4, 8u << 4); /* AHB / 2 */
    register_replace(&PWR_CR5, 1u << 8, 0);         /* R1MODE: boost */
    register_replace(&FLASH_ACR, 15u, 5u);          /* 5 wait states (RM0432 3.3.3: 120 MHz) */
    if (!register_becomes(&FLASH_ACR, 15u, 5u)) {
        return "FLASH_ACR.LATENCY";
    }
    register_replace(&RCC_CFGR, 3u, 3u);
    if (!register_becomes(&RCC_CFGR, 3u << 2, 3u << 2)) {
        return "RCC_CFGR.SWS";
    }
    for (volatile uint32_t turns = 0; turns < 100; turns++) { /* at least a microsecond */
    }
    register_replace(&RCC_CFGR, 15u << 4, 0);
    return 0;
}

static void connect_pin(uint32_t port, uint32_t pin) {
    register_set(&RCC_AHB2ENR, 1u << port);
    (void)RCC_AHB2ENR;
    register_replace(&REGISTER(GPIO(port) + 0x20 + pin / 8 * 4), 15u << (pin % 8 * 4), HILNAS_UART_AF << (pin % 8 * 4));
    register_replace(&REGISTER(GPIO(port) + 0x00), 3u << (pin * 2), 2u << (pin * 2)); /* alternate function */
}

void clock_start_uart(void) {
    _Static_assert(HILNAS_UART_BASE == LPUART1 && HILNAS_UART_TX_PORT == PORT_G,
                   "the report goes over LPUART1, port G");
    start_power_control();
    register_set(&PWR_CR2, 1u << 9); /* IOSV: port G has a supply of its own */
    register_set(&RCC_CR, 1u << 8);
    (void)register_becomes(&RCC_CR, 1u << 10, 1u << 10); /* clock_start reports it */
    register_replace(&RCC_CCIPR, 3u << 10, 2u << 10);    /* LPUART1 from HSI */
    register_set(&RCC_APB1ENR2, 1u << 0);
    (void)RCC_APB1ENR2;
    connect_pin(HILNAS_UART_TX_PORT, HILNAS_UART_TX_PIN);
    connect_pin(HILNAS_UART_RX_PORT, HILNAS_UART_RX_PIN);
}
