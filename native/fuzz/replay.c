/* Gives every file of a directory to a fuzzer's target, once. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    static uint8_t bytes[1 << 20];
    DIR *corpus = argc == 2 ? opendir(argv[1]) : NULL;
    int count = 0;
    if (!corpus) {
        fprintf(stderr, "usage: replay <corpus>\n");
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(corpus));) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *file = fopen(path, "rb");
        if (!file)
            return 1;
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        LLVMFuzzerTestOneInput(bytes, size);
        count++;
    }
    closedir(corpus);
    printf("native: %d inputs of %s\n", count, argv[1]);
    return count > 0 ? 0 : 1;
}
