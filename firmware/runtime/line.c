#include "line.h"
#include "hilnas_protocol.h"
#include "uart.h"

static const char hexadecimal[16] = "0123456789abcdef";
static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char received[HILNAS_MAX_LINE];
static uint32_t line_crc;

/* The CRC-32 of IEEE 802.3 and zlib, four bits a step. */
uint32_t crc32_update(uint32_t crc, const void *data, uint32_t size) {
    static const uint32_t steps[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    crc = ~crc;
    for (const uint8_t *byte = data; size > 0; size--, byte++) {
        crc ^= *byte;
        crc = crc >> 4 ^ steps[crc & 15];
        crc = crc >> 4 ^ steps[crc & 15];
    }
    return ~crc;
}

static void put(char character) {
    line_crc = crc32_update(line_crc, &character, 1);
    uart_put((uint8_t)character);
}

static void put_text(const char *text) {
    while (*text) {
        put(*text++);
    }
}

static void put_key(const char *key) {
    put(' ');
    put_text(key);
    put('=');
}

void line_begin(const char *kind, uint32_t seq) {
    line_crc = 0;
    put_text(HILNAS_LINE_START);
    put_text(kind);
    line_put_number("seq", seq);
}

void line_put_text(const char *key, const char *value) {
    put_key(key);
    put_text(value);
}

void line_put_number(const char *key, uint64_t value) {
    uint32_t shift = 60;
    while (shift > 0 && value >> shift == 0) {
        shift -= 4;
    }
    put_key(key);
    for (;; shift -= 4) {
        put(hexadecimal[value >> shift & 15]);
        if (shift == 0) {
            return;
        }
    }
}

void line_put_data(const char *key, const void *data, uint32_t size) {
    const uint8_t *bytes = data;
    put_key(key);
    for (uint32_t i = 0; i < size; i += 3) {
        uint32_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? bytes[i + 2] : 0;
        put(alphabet[group >> 18]);
        put(alphabet[group >> 12 & 63]);
        put(left > 1 ? alphabet[group >> 6 & 63] : '=');
        put(left > 2 ? alphabet[group & 63] : '=');
    }
}

void line_end(void) {
    uint32_t crc = line_crc;
    put('*');
    for (int shift = 28; shift >= 0; shift -= 4) {
        put(hexadecimal[crc >> shift & 15]);
    }
    put('\r');
    put('\n');
}

static uint32_t digit(char character) {
    if (character >= '0' && character <= '9') {
        return (uint32_t)(character - '0');
    }
    return character >= 'a' && character <= 'f' ? (uint32_t)(character - 'a') + 10 : 16;
}

/* What follows `prefix` in `text`, or a null pointer. */
static const char *after(const char *text, const char *prefix) {
    while (*prefix) {
        if (*text++ != *prefix++) {
            return 0;
        }
    }
    return text;
}

/* Whether the first `length` characters received are a line: cuts its CRC off. */
static bool check(uint32_t length) {
    if (length < 9 || received[length - 9] != '*' || !after(received, HILNAS_LINE_START)) {
        return false;
    }
    uint32_t crc = 0;
    for (uint32_t i = length - 8; i < length; i++) {
        if (digit(received[i]) > 15) {
            return false;
        }
        crc = crc << 4 | digit(received[i]);
    }
    received[length - 9] = 0;
    return crc == crc32_update(0, received, length - 9);
}

bool line_receive(void) {
    uint32_t length = 0;
    for (;;) {
        char character = (char)uart_get();
        if (character == '\n' && length > 0) {
            return length < HILNAS_MAX_LINE && check(length);
        }
        if (character != '\r' && character != '\n') {
            if (length < HILNAS_MAX_LINE) {
                received[length++] = character;
            }
        }
    }
}

bool line_is(const char *kind) {
    const char *rest = after(received + sizeof(HILNAS_LINE_START) - 1, kind);
    return rest && *rest == ' ';
}

/* The value of `key`, up to the next blank or the end. */
static const char *find(const char *key) {
    for (const char *text = received; *text; text++) {
        const char *rest = *text == ' ' ? after(text + 1, key) : 0;
        if (rest && *rest == '=') {
            return rest + 1;
        }
    }
    return 0;
}

bool line_get_number(const char *key, uint32_t *value) {
    const char *text = find(key);
    *value = 0;
    if (!text || digit(*text) > 15) {
        return false;
    }
    while (digit(*text) <= 15) {
        *value = *value << 4 | digit(*text++);
    }
    return *text == 0 || *text == ' ';
}

static uint32_t sextet(char character) {
    if (character >= 'A' && character <= 'Z') {
        return (uint32_t)(character - 'A');
    }
    if (character >= 'a' && character <= 'z') {
        return (uint32_t)(character - 'a') + 26;
    }
    if (character >= '0' && character <= '9') {
        return (uint32_t)(character - '0') + 52;
    }
    return character == '+' ? 62 : character == '/' ? 63 : 64;
}

bool line_get_data(const char *key, uint8_t *data, uint32_t capacity, uint32_t *size) {
    const char *text = find(key);
    uint32_t bits = 0, group = 0;
    *size = 0;
    for (; text && sextet(*text) < 64; text++) {
        group = group << 6 | sextet(*text);
        bits += 6;
        if (bits >= 8) {
            if (*size == capacity) {
                return false;
            }
            bits -= 8;
            data[(*size)++] = (uint8_t)(group >> bits);
        }
    }
    return *size > 0;
}
