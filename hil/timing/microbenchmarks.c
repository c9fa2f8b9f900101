/* Says over the UART what the micro-benchmarks measured, again and again, so that whoever listens gets all of it. */
#include "hilnas_board.h"
#include "line.h"
#include "uart.h"

__attribute__((noreturn)) void microbenchmarks_report(const uint32_t *results, uint32_t count) {
    uart_start();
    for (;;) {
        for (uint32_t index = 0; index < count; index++) {
            line_begin("benchmark", 0);
            line_put_text("build", HILNAS_BUILD_ID);
            line_put_number("index", index);
            line_put_number("cycles", results[index]);
            line_end();
        }
    }
}
