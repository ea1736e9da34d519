/*
 * Turns a file into a C array, at build time: embed INPUT OUTPUT.c OUTPUT.h NAME
 *
 * The header declares `extern const char NAME[]` (with a NUL behind the last byte) and `extern const size_t NAME_len`.
 */
#include <stdio.h>

static int put_header(const char *path, const char *name)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return -1;
    fprintf(out, "#include <stddef.h>\n\nextern const char %s[];\nextern const size_t %s_len;\n", name, name);
    return fclose(out);
}

static int put_bytes(const char *path, const char *name, FILE *in)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return -1;
    fprintf(out, "#include <stddef.h>\n\nextern const char %s[];\nextern const size_t %s_len;\n", name, name);
    fprintf(out, "\nconst char %s[] = {", name);
    size_t n = 0;
    for (int c; (c = getc(in)) != EOF; n++) /* a plain char may be signed: bytes from 128 on are written as negative */
        fprintf(out, "%s%d,", n % 20 == 0 ? "\n    " : " ", c < 128 ? c : c - 256);
    fprintf(out, "\n    0,\n};\nconst size_t %s_len = %zu;\n", name, n);
    int failed = ferror(in);
    return fclose(out) || failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: embed INPUT OUTPUT.c OUTPUT.h NAME\n", stderr);
        return 2;
    }
    FILE *in = fopen(argv[1], "rb");
    if (!in) {
        perror(argv[1]);
        return 1;
    }
    int failed = put_header(argv[3], argv[4]) || put_bytes(argv[2], argv[4], in);
    fclose(in);
    if (failed)
        perror("embed");
    return failed ? 1 : 0;
}
