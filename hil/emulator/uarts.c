/* UARTs without speed: a byte is sent as soon as it is written, and received as soon as the host has sent it. */
#include "peripherals.h"

#define WORK_CYCLES 1000u /* between two polls: more than a loop that only waits takes */

static bool is_connected(const peripherals *all, const peripheral *self) {
    return self->place->base == all->uart_base;
}

static void send(peripherals *all, const peripheral *self, uint32_t value) {
    uint8_t byte = (uint8_t)value;
    all->empty_polls = 0;
    if (is_connected(all, self)) {
        queue_push(&all->to_host, &byte, 1);
    }
}

/* Polls with work in between are not of one row. */
static void note_empty_poll(peripherals *all) {
    uint64_t now = all->cycles(all->machine);
    if (all->empty_polls == 0 || now - all->last_poll > WORK_CYCLES) {
        all->empty_polls = 0;
        all->first_poll = now;
    }
    all->empty_polls++;
    all->last_poll = now;
}

static bool has_received(peripherals *all, const peripheral *self) {
    if (is_connected(all, self) && queue_size(&all->to_device) > 0) {
        all->empty_polls = 0;
        return true;
    }
    note_empty_poll(all);
    return false;
}

static uint32_t receive(peripherals *all, const peripheral *self) {
    uint8_t byte = 0;
    if (is_connected(all, self)) {
        queue_pop(&all->to_device, &byte, 1);
    }
    return byte;
}

enum { CR1 = 0x00, ISR = 0x1C, ICR = 0x20, RDR = 0x24, TDR = 0x28 };
enum {
    UE = 1u << 0,
    RE = 1u << 2,
    TE = 1u << 3,
    RXNE = 1u << 5,
    TC = 1u << 6,
    TXE = 1u << 7,
    TEACK = 1u << 21,
    REACK = 1u << 22
};

static uint32_t read_stm32(peripherals *all, peripheral *self, uint32_t offset) {
    uint32_t control = self->words[CR1 / 4];
    bool can_receive = (control & (UE | RE)) == (UE | RE);
    bool can_send = (control & (UE | TE)) == (UE | TE);
    switch (offset) {
    case ISR:
        return TXE | TC | (can_receive && has_received(all, self) ? RXNE : 0) | (can_send ? TEACK : 0) |
               (can_receive ? REACK : 0);
    case RDR:
        return can_receive ? receive(all, self) : 0;
    default:
        return self->words[offset / 4];
    }
}

static void write_stm32(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    self->words[offset / 4] = value;
    if (offset == TDR && (self->words[CR1 / 4] & (UE | TE)) == (UE | TE)) {
        send(all, self, value);
    }
}

const peripheral_model stm32_usart = {"USART", read_stm32, write_stm32, NULL};

enum { DATA = 0x00, STATE = 0x04, CTRL = 0x08 };
enum { TX_ENABLE = 1u << 0, RX_ENABLE = 1u << 1, RX_FULL = 1u << 1 };

static uint32_t read_cmsdk(peripherals *all, peripheral *self, uint32_t offset) {
    bool can_receive = self->words[CTRL / 4] & RX_ENABLE;
    switch (offset) {
    case DATA:
        return can_receive ? receive(all, self) : 0;
    case STATE:
        return can_receive && has_received(all, self) ? RX_FULL : 0;
    default:
        return self->words[offset / 4];
    }
}

static void write_cmsdk(peripherals *all, peripheral *self, uint32_t offset, uint32_t value) {
    self->words[offset / 4] = value;
    if (offset == DATA && (self->words[CTRL / 4] & TX_ENABLE)) {
        send(all, self, value);
    }
}

const peripheral_model cmsdk_uart = {"CMSDK UART", read_cmsdk, write_cmsdk, NULL};
