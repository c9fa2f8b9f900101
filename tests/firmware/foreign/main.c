/* Somebody else's program: runs the model on an input that changes from byte to byte and prints the outputs. */
#include "hilnas_model.h"
#include <stdio.h>

int main(void) {
    static int8_t input[HILNAS_INPUT_BYTES];
    static int8_t output[HILNAS_OUTPUT_BYTES];
    for (uint32_t i = 0; i < HILNAS_INPUT_BYTES; i++) {
        input[i] = (int8_t)((int)(i * 37u % 256u) - 128);
    }
    for (int run = 0; run < 2; run++) {
        const uint32_t taken = hilnas_infer(input, output);
        printf("%u:", (unsigned)taken);
        for (uint32_t i = 0; i < HILNAS_OUTPUT_BYTES; i++) {
            printf(" %d", output[i]);
        }
        printf("\n");
    }
    return 0;
}
