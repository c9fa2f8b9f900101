/* What goes into the machine and comes out of it besides its memory: bytes, and what it noted. */
#include "machine_state.h"

void machine_uart_send(machine *self, const uint8_t *data, size_t size) {
    queue_push(&self->peripherals.to_device, data, size);
    self->peripherals.empty_polls = 0;
}

size_t machine_uart_receive(machine *self, uint8_t *data, size_t capacity) {
    return queue_pop(&self->peripherals.to_host, data, capacity);
}

size_t machine_console_receive(machine *self, uint8_t *data, size_t capacity) {
    return queue_pop(&self->semihosting.console, data, capacity);
}

size_t machine_unknown_count(const machine *self) {
    return self->unknown_accesses.count;
}

const machine_access *machine_unknown_accesses(const machine *self) {
    return self->unknown_accesses.items;
}

size_t machine_refused_count(const machine *self) {
    return self->refused_calls.count;
}

const machine_access *machine_refused_calls(const machine *self) {
    return self->refused_calls.items;
}

size_t machine_replaced_count(const machine *self) {
    return self->replaced_code.count;
}

const machine_access *machine_replaced_code(const machine *self) {
    return self->replaced_code.items;
}

size_t machine_mark_count(const machine *self) {
    return self->marks.count;
}

const machine_mark *machine_marks(const machine *self) {
    return self->marks.items;
}

uint64_t machine_clock_hz(const machine *self) {
    return self->peripherals.part->clock_hz ? self->peripherals.part->clock_hz(&self->peripherals) : 0;
}
