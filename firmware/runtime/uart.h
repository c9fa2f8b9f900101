/* The report's UART, polled. */
#ifndef HILNAS_UART_H
#define HILNAS_UART_H

#include <stdint.h>

/* Needs neither .data nor .bss. */
void uart_start(void);
void uart_put(uint8_t byte);
/* Sends the byte if that needs no waiting. */
void uart_try_put(uint8_t byte);
uint8_t uart_get(void);

#endif
