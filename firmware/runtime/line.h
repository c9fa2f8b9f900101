/* Lines of the report protocol (firmware/protocol.py says what they mean): written piece by piece, read whole. */
#ifndef HILNAS_LINE_H
#define HILNAS_LINE_H

#include <stdbool.h>
#include <stdint.h>

uint32_t crc32_update(uint32_t crc, const void *data, uint32_t size);

void line_begin(const char *kind, uint32_t seq);
void line_put_text(const char *key, const char *value);
void line_put_number(const char *key, uint64_t value);
void line_put_data(const char *key, const void *data, uint32_t size);
void line_end(void);

/* Waits for a line. False if what came is damaged. */
bool line_receive(void);
bool line_is(const char *kind);
/* The number, or bytes decoded into `data` (at most `capacity`, `*size` of them), of the received line. False if it has
 * none. */
bool line_get_number(const char *key, uint32_t *value);
bool line_get_data(const char *key, uint8_t *data, uint32_t capacity, uint32_t *size);

#endif
