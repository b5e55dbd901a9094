// A QEMU TCG plugin: counts the guest's instructions between two addresses, each time that the first
// is reached until the second is. `size` builds it with
//
//     cc -O2 -shared -fPIC count-instructions.c -o count-instructions.so
//     qemu-system-arm … -plugin count-instructions.so,begin=HEX,end=HEX
//
// and reads what it writes to standard error when the emulator exits:
//
//     instructions: 620 620 620
//     executed 1a2c 3        an instruction's address, and how often it ran in the second span
//
// The few declarations of the plugin interface (version 1) that it needs stand here, because
// distributions ship the emulator without its header.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct block;
struct instruction;

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct instruction *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct instruction *, void (*)(unsigned, void *), int flags, void *);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct instruction *, int operation, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

// Programs lie in the first MiB, and no instruction is shorter than two bytes.
enum { ADD_U64 = 0, NO_REGISTERS = 0, MOST = 64, PLACES = 1 << 19 };

static uint64_t begin_address, end_address;
static uint64_t executed, at_begin, spans[MOST];
static size_t count;
static uint64_t places[PLACES];
static bool is_open;

static void on_begin(unsigned cpu, void *data) {
    (void)cpu, (void)data;
    at_begin = executed;
    is_open = true;
}

static void on_end(unsigned cpu, void *data) {
    (void)cpu, (void)data;
    if (is_open && count < MOST)
        spans[count++] = executed - at_begin;
    is_open = false;
}

static void on_each(unsigned cpu, void *place) {
    (void)cpu;
    if (is_open && count == 1)
        ++*(uint64_t *)place;
}

static void on_translate(plugin_id id, struct block *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct instruction *instruction = qemu_plugin_tb_get_insn(block, i);
        uint64_t address = qemu_plugin_insn_vaddr(instruction);
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD_U64, &executed, 1);
        if (address == begin_address)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_begin, NO_REGISTERS, NULL);
        if (address == end_address)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_end, NO_REGISTERS, NULL);
        if (address / 2 < PLACES)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_each, NO_REGISTERS, &places[address / 2]);
    }
}

static void at_exit(plugin_id id, void *data) {
    (void)id, (void)data;
    fprintf(stderr, "instructions:");
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, " %" PRIu64, spans[i]);
    fprintf(stderr, "\n");
    for (size_t i = 0; i < PLACES; i++)
        if (places[i])
            fprintf(stderr, "executed %zx %" PRIu64 "\n", 2 * i, places[i]);
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "begin=", 6))
            begin_address = strtoull(argv[i] + 6, NULL, 16);
        if (!strncmp(argv[i], "end=", 4))
            end_address = strtoull(argv[i] + 4, NULL, 16);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
