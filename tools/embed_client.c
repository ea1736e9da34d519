/*
 * Puts npm's socket.io-client into the library, at build time: embed_client OUTPUT.S OUTPUT.c VERSION FILE...
 *
 * The assembler includes the files as they are, which takes no time, where a C array of a megabyte takes seconds; the C file is their table, as
 * src/transport/socketio_files.h declares it. Without files the table is empty.
 */
#include <stdio.h>
#include <string.h>

enum { FIRST_FILE = 4 };

static int put_assembly(const char *path, char **files)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return -1;
    fprintf(out, "    .section .note.GNU-stack,\"\",%%progbits\n    .section .rodata\n");
    for (int i = 0; files[i]; i++) {
        fprintf(
            out,
            "    .balign 16\n    .hidden weft_client_file_%d\n    .globl weft_client_file_%d\nweft_client_file_%d:\n"
            "    .incbin \"%s\"\n"
            "    .hidden weft_client_file_%d_end\n    .globl weft_client_file_%d_end\nweft_client_file_%d_end:\n"
            "    .byte 0\n",
            i, i, i, files[i], i, i, i);
    }
    return fclose(out);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int put_table(const char *path, const char *version, char **files)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return -1;
    fprintf(out, "#include \"transport/socketio_files.h\"\n\nconst char socketio_client_version[] = \"%s\";\n\n",
            version);
    for (int i = 0; files[i]; i++)
        fprintf(out, "extern const char weft_client_file_%d[], weft_client_file_%d_end[];\n", i, i);
    fprintf(out, "\nconst socketio_client_file socketio_client_files[] = {\n");
    for (int i = 0; files[i]; i++)
        fprintf(out, "    {\"%s\", weft_client_file_%d, weft_client_file_%d_end},\n", name_of(files[i]), i, i);
    fprintf(out, "    {NULL, NULL, NULL},\n};\n");
    return fclose(out);
}

int main(int argc, char **argv)
{
    if (argc < FIRST_FILE) {
        fputs("usage: embed_client OUTPUT.S OUTPUT.c VERSION FILE...\n", stderr);
        return 2;
    }
    int failed = put_assembly(argv[1], argv + FIRST_FILE) || put_table(argv[2], argv[3], argv + FIRST_FILE);
    if (failed)
        perror("embed_client");
    return failed ? 1 : 0;
}
