/* The UART of Arm's CMSDK, as in MPS2. */
#include "clock.h"
#include "hilnas_board.h"
#include "registers.h"
#include "uart.h"

#define DATA REGISTER(HILNAS_UART_BASE + 0x00)
#define STATE REGISTER(HILNAS_UART_BASE + 0x04)
#define CTRL REGISTER(HILNAS_UART_BASE + 0x08)
#define BAUDDIV REGISTER(HILNAS_UART_BASE + 0x10)

enum { TX_FULL = 1u << 0, RX_FULL = 1u << 1, TX_ENABLE = 1u << 0, RX_ENABLE = 1u << 1 };

void uart_start(void) {
    clock_start_uart();
    BAUDDIV = HILNAS_UART_CLOCK_HZ / HILNAS_UART_BAUD_RATE;
    CTRL = TX_ENABLE | RX_ENABLE;
}

void uart_put(uint8_t byte) {
    while (STATE & TX_FULL) {
    }
    DATA = byte;
}

void uart_try_put(uint8_t byte) {
    if (!(STATE & TX_FULL)) {
        DATA = byte;
    }
}

uint8_t uart_get(void) {
    while (!(STATE & RX_FULL)) {
    }
    return (uint8_t)DATA;
}
