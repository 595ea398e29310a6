module aphex.io/platform/tools/install

go 1.26
