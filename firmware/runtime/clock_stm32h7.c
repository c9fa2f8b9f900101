/* STM32H743, STM32H747 (its Cortex-M7) and STM32H7A3: clocks and pins, from RM0433, RM0399 and RM0455. Their registers
 * differ in name more than in place: D1/D2/D3 of the first two are CD/SRD of the third.
 *
 * Everything runs from the internal 64 MHz oscillator: no crystal, jumper or ST-LINK clock output is needed. PLL1 is
 * fed with 16 MHz; the UART is clocked by the oscillator itself, so that it can report a PLL that does not start. */
#include "clock.h"
#include "hilnas_board.h"
#include "registers.h"

#define RCC 0x58024400u
#define RCC_CR REGISTER(RCC + 0x00)
#define RCC_CFGR REGISTER(RCC + 0x10)
#define RCC_D1CFGR REGISTER(RCC + 0x18)
#define RCC_D2CFGR REGISTER(RCC + 0x1C)
#define RCC_D3CFGR REGISTER(RCC + 0x20)
#define RCC_PLLCKSELR REGISTER(RCC + 0x28)
#define RCC_PLLCFGR REGISTER(RCC + 0x2C)
#define RCC_PLL1DIVR REGISTER(RCC + 0x30)
#define RCC_D2CCIP2R REGISTER(RCC + 0x54)
#define RCC_AHB2ENR REGISTER(RCC + 0xDC)
#define RCC_AHB4ENR REGISTER(RCC + 0xE0)
#define RCC_APB1LENR REGISTER(RCC + 0xE8)
#define RCC_APB2ENR REGISTER(RCC + 0xF0)
#define RCC_APB4ENR REGISTER(RCC + 0xF4)
#define PWR_CSR1 REGISTER(0x58024804u)
#define PWR_CR3 REGISTER(0x5802480Cu)
#define PWR_D3CR REGISTER(0x58024818u)
#define SYSCFG_PWRCR REGISTER(0x5800042Cu)
#define FLASH_ACR REGISTER(0x52002000u)
#define GPIO(port) (0x58020000u + 0x400u * (port))

#define PLL_INPUT_HZ 16000000u /* 64 MHz / 4 */
#define USART1 0x40011000u
#define USART3 0x40004800u

/* Flash wait states and programming delay for the bus clock at the highest voltage scale; bus divider (HPRE). */
#if defined(HILNAS_STARTUP_STM32H7A3)
#define FLASH_TIMING (6u | 3u << 4) /* RM0455 table 15: VOS0, up to 280 MHz */
#define BUS_DIVIDER 0u              /* 1 */
#define RAM_CLOCKS (3u << 29)       /* AHBSRAM1, AHBSRAM2 */
#else
#define FLASH_TIMING                                                                                                   \
    ((HILNAS_CLOCK_HZ > 400000000u ? 4u : 2u) | 2u << 4) /* RM0433 table 17: VOS0 240 MHz, VOS1 210 MHz */
#define BUS_DIVIDER 8u                                   /* 2 */
#define RAM_CLOCKS (7u << 29)                            /* SRAM1, SRAM2, SRAM3 */
#define NEEDS_OVERDRIVE (HILNAS_CLOCK_HZ > 400000000u)
#endif

/* Flattened: a call would put its return address on the stack. */
__attribute__((flatten)) const char *clock_choose_supply(void) {
    /* CR3 can be written once after power-up, and a system reset does not undo that: which regulator feeds the core is
     * wired on the board. Bits 0 to 2 are BYPASS, LDOEN and SMPSEN (H743: SCUEN, to be cleared). Until ACTVOSRDY the
     * part is in Run* mode (RM0433 6.4.1): RAMs may not be written, and the voltage scale may not change. */
    register_replace(&PWR_CR3, 7u, HILNAS_SUPPLY_SMPS ? 1u << 2 : 1u << 1);
    return register_becomes(&PWR_CSR1, 1u << 13, 1u << 13) ? 0 : "PWR_CSR1.ACTVOSRDY";
}

void clock_start_memories(void) {
    register_set(&RCC_AHB2ENR, RAM_CLOCKS);
    (void)RCC_AHB2ENR; /* the clock runs once the write has been read back */
}

static const char *raise_voltage(void) {
    register_replace(&PWR_D3CR, 3u << 14, 3u << 14); /* H743, H747: scale 1; H7A3: scale 0 */
    (void)PWR_D3CR;                                  /* what is read first may still be of the old scale */
    if (!register_becomes(&PWR_D3CR, 1u << 13, 1u << 13)) {
        return "PWR_D3CR.VOSRDY";
    }
#ifdef NEEDS_OVERDRIVE
    _Static_assert(!(HILNAS_SUPPLY_SMPS && NEEDS_OVERDRIVE),
                   "RM0399: more than 400 MHz need voltage scale 0, which the switching regulator does not give");
    if (NEEDS_OVERDRIVE) {
        register_set(&RCC_APB4ENR, 1u << 1); /* SYSCFG */
        (void)RCC_APB4ENR;
        register_set(&SYSCFG_PWRCR, 1u); /* ODEN: scale 0 */
        (void)SYSCFG_PWRCR;
        (void)PWR_D3CR;
        if (!register_becomes(&PWR_D3CR, 1u << 13, 1u << 13)) {
            return "PWR_D3CR.VOSRDY";
        }
    }
#endif
    return 0;
}

const char *clock_start(void) {
    const char *missing = raise_voltage();
    if (missing) {
        return missing;
    }
    FLASH_ACR = FLASH_TIMING;
    if (!register_becomes(&FLASH_ACR, 0x3F, FLASH_TIMING)) {
        return "FLASH_ACR.LATENCY";
    }
    register_replace(&RCC_PLLCKSELR, 0x3F3, 4u << 4);                   /* HSI / 4 */
    register_replace(&RCC_PLLCFGR, 0xF | 7u << 16, 3u << 2 | 1u << 16); /* 8 to 16 MHz, wide VCO, P only */
    RCC_PLL1DIVR = (HILNAS_CLOCK_HZ / (PLL_INPUT_HZ / 2u) - 1u) | 1u << 9 | 1u << 16 | 1u << 24; /* N; P, Q, R by 2 */
    register_set(&RCC_CR, 1u << 24);
    if (!register_becomes(&RCC_CR, 1u << 25, 1u << 25)) {
        return "RCC_CR.PLL1RDY";
    }
    RCC_D1CFGR = 4u << 4 | BUS_DIVIDER; /* APB: bus / 2 */
    RCC_D2CFGR = 4u << 4 | 4u << 8;
    RCC_D3CFGR = 4u << 4;
    register_replace(&RCC_CFGR, 7u, 3u);
    if (!register_becomes(&RCC_CFGR, 7u << 3, 3u << 3)) {
        return "RCC_CFGR.SWS";
    }
    return 0;
}

static void connect_pin(uint32_t port, uint32_t pin) {
    register_set(&RCC_AHB4ENR, 1u << port);
    (void)RCC_AHB4ENR;
    register_replace(&REGISTER(GPIO(port) + 0x20 + pin / 8 * 4), 15u << (pin % 8 * 4), HILNAS_UART_AF << (pin % 8 * 4));
    register_replace(&REGISTER(GPIO(port) + 0x00), 3u << (pin * 2), 2u << (pin * 2)); /* alternate function */
}

void clock_start_uart(void) {
    _Static_assert(HILNAS_UART_BASE == USART1 || HILNAS_UART_BASE == USART3, "the report goes over USART1 or USART3");
    if (HILNAS_UART_BASE == USART1) {
        register_replace(&RCC_D2CCIP2R, 7u << 3, 3u << 3); /* HSI */
        register_set(&RCC_APB2ENR, 1u << 4);
        (void)RCC_APB2ENR;
    } else {
        register_replace(&RCC_D2CCIP2R, 7u, 3u);
        register_set(&RCC_APB1LENR, 1u << 18);
        (void)RCC_APB1LENR;
    }
    connect_pin(HILNAS_UART_TX_PORT, HILNAS_UART_TX_PIN);
    connect_pin(HILNAS_UART_RX_PORT, HILNAS_UART_RX_PIN);
}
