/* Guards in front of the arenas and behind them. */
#ifndef HILNAS_GUARD_H
#define HILNAS_GUARD_H

#include <stdbool.h>

void guards_set(void);
/* Whether nothing has been written to them since. */
bool guards_intact(void);

#endif
