/*
 * Turns a file into a C array, at build time: embed INPUT OUTPUT.c OUTPUT.h NAME
 *
 * The header declares `extern const char NAME[]` (with a NUL behind the last byte), `extern const size_t NAME_len` and `extern const char NAME_etag[]`: two
 * files with the same ETag are the same file.
 */
#include <stdio.h>

static int put_declarations(FILE *out, const char *name)
{
    return fprintf(
        out,
        "#include <stddef.h>\n\nextern const char %s[];\nextern const size_t %s_len;\nextern const char %s_etag[];\n",
        name, name, name);
}

static int put_header(const char *path, const char *name)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return -1;
    put_declarations(out, name);
    return fclose(out);
}

static int put_bytes(const char *path, const char *name, FILE *in)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return -1;
    put_declarations(out, name);
    fprintf(out, "\nconst char %s[] = {", name);
    size_t n = 0;
    unsigned long long hash = 0xcbf29ce484222325; /* FNV-1a */
    for (int c; (c = getc(in)) != EOF; n++) {
        hash = (hash ^ (unsigned)c) * 0x100000001b3;
        /* a plain char may be signed: bytes from 128 on are written as negative */
        fprintf(out, "%s%d,", n % 20 == 0 ? "\n    " : " ", c < 128 ? c : c - 256);
    }
    fprintf(out, "\n    0,\n};\nconst size_t %s_len = %zu;\nconst char %s_etag[] = \"\\\"%016llx\\\"\";\n", name, n,
            name, hash);
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
