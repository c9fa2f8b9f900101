/* The USART of STM32F7 and STM32H7 and the LPUART of STM32L4, without FIFO and interrupts. */
#include "clock.h"
#include "hilnas_board.h"
#include "registers.h"
#include "uart.h"

#define CR1 REGISTER(HILNAS_UART_BASE + 0x00)
#define BRR REGISTER(HILNAS_UART_BASE + 0x0C)
#define ISR REGISTER(HILNAS_UART_BASE + 0x1C)
#define ICR REGISTER(HILNAS_UART_BASE + 0x20)
#define RDR REGISTER(HILNAS_UART_BASE + 0x24)
#define TDR REGISTER(HILNAS_UART_BASE + 0x28)

enum { UE = 1u << 0, RE = 1u << 2, TE = 1u << 3, ERRORS = 0xFu, RXNE = 1u << 5, TXE = 1u << 7 };

void uart_start(void) {
    clock_start_uart();
    BRR = (uint32_t)((HILNAS_UART_STEPS * (uint64_t)HILNAS_UART_CLOCK_HZ + HILNAS_UART_BAUD_RATE / 2) /
                     HILNAS_UART_BAUD_RATE);
    CR1 = UE | RE | TE;
}

void uart_put(uint8_t byte) {
    while (!(ISR & TXE)) {
    }
    TDR = byte;
}

void uart_try_put(uint8_t byte) {
    if (ISR & TXE) {
        TDR = byte;
    }
}

uint8_t uart_get(void) {
    uint32_t status;
    while (!((status = ISR) & RXNE)) {
        ICR = status &
              ERRORS; /* an overrun stops reception until it is cleared; the line's CRC tells that bytes are missing */
    }
    return (uint8_t)RDR;
}
