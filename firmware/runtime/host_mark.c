/* What a library for this computer adds: whoever runs it is told of every mark. */
#include "hilnas.h"

extern void (*hilnas_host_mark)(uint32_t index);
void (*hilnas_host_mark)(uint32_t index);

void hilnas_layer_mark(uint32_t index) {
    if (hilnas_host_mark) {
        hilnas_host_mark(index);
    }
}
