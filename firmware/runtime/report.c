#include "report.h"
#include "core.h"
#include "guard.h"
#include "hilnas.h"
#include "hilnas_board.h"
#include "hilnas_protocol.h"
#include "line.h"
#include "stack.h"
#include "uart.h"

#define NOT_RUN UINT32_MAX
#define STACKING_FAILED (1u << 4 | 1u << 12) /* MSTKERR, STKERR: the frame was not written */

/* The last inference. `seq` is that of the command that asked for it, 0 for none; `runs` counts them since the last
 * hello. */
static struct {
    uint32_t seq;
    uint32_t runs;
    uint32_t exit;
    uint32_t output_crc;
    uint64_t cycles;
    uint32_t layer_cycles[HILNAS_LAYER_COUNT];
} last;

/* The register bit that start-up waited for in vain, or a null pointer. */
static const char *never_ready;

/* The running inference: the layer that runs, and when it or the code between layers began; the layer that comes next.
 * Layers through which rows stream run in turns. */
static struct {
    uint32_t layer;
    uint32_t since;
    uint32_t next;
} running;

/* Neither the cycles of a layer nor those of the inference count what happens in here. */
__attribute__((noinline, used)) void hilnas_layer_mark(uint32_t index) {
    uint32_t cycles = core_cycles() - running.since;
    last.cycles += cycles;
    if (running.layer < HILNAS_LAYER_COUNT) {
        const uint32_t before = last.layer_cycles[running.layer];
        last.layer_cycles[running.layer] = before == NOT_RUN ? cycles : before + cycles;
    }
    running.layer = index;
    if (index >= running.next) {
        running.next = index + 1u;
        uart_try_put((uint8_t)(HILNAS_TICK | (index & 0x7F)));
    }
    running.since = core_cycles();
}

static uint32_t written_outputs(void) {
    return last.exit < hilnas_exit_count ? last.exit + 1 : hilnas_output_count;
}

static uint32_t crc_of(const hilnas_tensor *tensors, uint32_t count) {
    uint32_t crc = 0;
    for (uint32_t i = 0; i < count; i++) {
        crc = crc32_update(crc, tensors[i].data, tensors[i].size_bytes);
    }
    return crc;
}

static void run_model(uint32_t seq, uint32_t flags) {
    last.seq = 0;
    last.cycles = 0;
    for (uint32_t i = 0; i < HILNAS_LAYER_COUNT; i++) {
        last.layer_cycles[i] = NOT_RUN;
    }
    running.layer = NOT_RUN;
    running.next = 0;
    core_forget();
    running.since = core_cycles();
    last.exit = hilnas_run(flags);
    last.cycles += core_cycles() - running.since;
    last.output_crc = crc_of(hilnas_outputs, written_outputs());
    last.seq = seq;
    last.runs++;
}

static void say_hello(uint32_t seq) {
    if (never_ready) {
        line_begin("error", seq);
        line_put_text("reason", "never-ready");
        line_put_text("register", never_ready);
        line_end();
    }
    line_begin("hello", seq);
    line_put_text("build", HILNAS_BUILD_ID);
    line_put_text("board", HILNAS_BOARD_NAME);
    line_put_number("clock", HILNAS_CLOCK_HZ);
    line_put_text("engine", HILNAS_ENGINE_VERSION);
    line_put_number("inputs", hilnas_input_count);
    line_put_number("outputs", hilnas_output_count);
    line_put_number("layers", hilnas_layer_count);
    line_put_number("exits", hilnas_exit_count);
    line_end();
}

static void say(const char *kind, uint32_t seq) {
    line_begin(kind, seq);
    line_end();
}

static void say_error(uint32_t seq, const char *reason) {
    line_begin("error", seq);
    line_put_text("reason", reason);
    line_end();
}

static void obey_input(uint32_t seq) {
    uint32_t index, offset, size;
    if (!line_get_number("index", &index) || !line_get_number("offset", &offset) || index >= hilnas_input_count ||
        offset > hilnas_inputs[index].size_bytes ||
        !line_get_data("data", (uint8_t *)hilnas_inputs[index].data + offset, hilnas_inputs[index].size_bytes - offset,
                       &size)) {
        say_error(seq, "outside-input");
        return;
    }
    say("ack", seq);
}

static void obey_run(uint32_t seq) {
    uint32_t flags, crc;
    if (!line_get_number("flags", &flags) || !line_get_number("crc", &crc)) {
        say_error(seq, "incomplete-run");
        return;
    }
    if (seq != last.seq) {
        if (crc != crc_of(hilnas_inputs, hilnas_input_count)) {
            say_error(seq, "input-crc");
            return;
        }
        guards_set();
        run_model(seq, flags);
        if (!guards_intact()) {
            last.seq = 0;
            say_error(seq, "arena-overrun");
            return;
        }
    }
    uint32_t layers = 0;
    for (uint32_t i = 0; i < HILNAS_LAYER_COUNT; i++) {
        if (last.layer_cycles[i] != NOT_RUN) {
            layers++;
            line_begin("layer", seq);
            line_put_number("index", i);
            line_put_number("cycles", last.layer_cycles[i]);
            line_end();
        }
    }
    line_begin("done", seq);
    line_put_number("layers", layers);
    line_put_number("exit", last.exit);
    line_put_number("cycles", last.cycles);
    line_put_number("crc", last.output_crc);
    line_put_number("stack", stack_peak());
    line_put_number("runs", last.runs);
    line_end();
}

static void obey_output(uint32_t seq) {
    uint32_t index, offset, size;
    if (!line_get_number("index", &index) || !line_get_number("offset", &offset) || !line_get_number("size", &size) ||
        index >= hilnas_output_count || size > HILNAS_CHUNK_BYTES || offset > hilnas_outputs[index].size_bytes ||
        size > hilnas_outputs[index].size_bytes - offset) {
        say_error(seq, "outside-output");
        return;
    }
    line_begin("data", seq);
    line_put_number("index", index);
    line_put_number("offset", offset);
    line_put_data("data", (const uint8_t *)hilnas_outputs[index].data + offset, size);
    line_end();
}

static void obey(void) {
    uint32_t seq;
    if (!line_receive() || !line_get_number("seq", &seq) || seq == 0) {
        say("nak", 0);
    } else if (line_is("hello")) {
        last.seq = 0; /* a new host counts anew */
        last.runs = 0;
        hilnas_reset();
        say_hello(seq);
    } else if (line_is("input")) {
        obey_input(seq);
    } else if (line_is("run")) {
        obey_run(seq);
    } else if (line_is("output")) {
        obey_output(seq);
    } else {
        say_error(seq, "unknown-command");
    }
}

void report_loop(const char *missing) {
    never_ready = missing;
    say_hello(0);
    for (;;) {
        obey();
    }
}

void report_fault(const uint32_t *frame) {
    static const char *const names[] = {"HardFault", "MemManage", "BusFault", "UsageFault"};
    uint32_t status = REGISTER(0xE000ED28u);
    bool stacked = frame >= __stack_bottom && frame + 8 <= __stack_top && !(status & STACKING_FAILED);
    uint32_t exception;
    __asm volatile("mrs %0, ipsr" : "=r"(exception));
    line_begin("fault", 0);
    line_put_text("kind", exception >= 3 && exception <= 6 ? names[exception - 3] : "exception");
    line_put_number("pc", stacked ? frame[6] : 0);
    line_put_number("lr", stacked ? frame[5] : 0);
    line_put_number("sp", (uint32_t)frame);
    line_put_number("cfsr", status);
    line_put_number("hfsr", REGISTER(0xE000ED2Cu));
    line_put_number("mmfar", REGISTER(0xE000ED34u));
    line_put_number("bfar", REGISTER(0xE000ED38u));
    line_end();
    for (;;) {
    }
}
