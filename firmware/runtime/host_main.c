/* The model as a program of this computer: reads the input tensors of one inference after the other from standard
 * input; writes for each a byte, the exit taken, and all output tensors, those behind a taken exit as zeros. */
#include "hilnas.h"
#include <stdio.h>
#include <string.h>

static int read_inputs(void) {
    for (uint32_t i = 0; i < hilnas_input_count; i++) {
        const size_t size = fread(hilnas_inputs[i].data, 1, hilnas_inputs[i].size_bytes, stdin);
        if (size != hilnas_inputs[i].size_bytes) {
            return i == 0 && size == 0 ? EOF : 1;
        }
    }
    return 0;
}

static void write_outputs(uint32_t taken) {
    putchar((int)taken);
    for (uint32_t i = 0; i < hilnas_output_count; i++) {
        if (taken < hilnas_exit_count && i > taken) {
            memset(hilnas_outputs[i].data, 0, hilnas_outputs[i].size_bytes);
        }
        fwrite(hilnas_outputs[i].data, 1, hilnas_outputs[i].size_bytes, stdout);
    }
}

int main(void) {
    hilnas_reset();
    for (;;) {
        const int problem = read_inputs();
        if (problem == EOF) {
            return 0;
        }
        if (problem) {
            fputs("standard input ends within an input tensor\n", stderr);
            return 2;
        }
        write_outputs(hilnas_run(HILNAS_TAKE_EXITS));
    }
}
