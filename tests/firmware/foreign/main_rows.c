/* Somebody else's program with a camera: there is never more than one row of the input, which changes from byte to
 * byte. */
#include "hilnas_model.h"
#include <stdio.h>

int main(void) {
    static int8_t row[HILNAS_INPUT_ROW_BYTES];
    static int8_t output[HILNAS_OUTPUT_BYTES];
    for (int run = 0; run < 2; run++) {
        hilnas_begin();
        uint32_t byte = 0;
        for (uint32_t y = 0; y < HILNAS_INPUT_ROWS; y++) {
            for (uint32_t x = 0; x < HILNAS_INPUT_ROW_BYTES; x++) {
                row[x] = (int8_t)((int)(byte++ * 37u % 256u) - 128);
            }
            hilnas_push_row(row);
        }
        const uint32_t taken = hilnas_finish(output);
        printf("%u:", (unsigned)taken);
        for (uint32_t i = 0; i < HILNAS_OUTPUT_BYTES; i++) {
            printf(" %d", output[i]);
        }
        printf("\n");
    }
    return 0;
}
