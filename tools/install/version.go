package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// A part selects what a stamp takes from a version such as "v1.35.3".
type part func(version string) string

func whole(version string) string { return version }

func major(version string) string {
	return strings.TrimPrefix(strings.Split(version, ".")[0], "v")
}

func minor(version string) string {
	return strings.Split(version, ".")[1]
}

// ldflags returns the linker flags of a group, stamped with the versions that
// its go.mod pins.
func (g group) ldflags(goMod []byte) (string, error) {
	flags := []string{"-s", "-w"}
	for _, s := range g.stamps {
		version := pinned(goMod, s.module)
		if strings.Count(version, ".") < 2 {
			return "", fmt.Errorf("tools/%s/go.mod does not pin %s, whose version is stamped into the binaries; require it there", g.name, s.module)
		}
		flags = append(flags, "-X", s.symbol+"="+s.part(version))
	}
	return strings.Join(flags, " "), nil
}

// pinned returns the version that a go.mod requires of a module, or "".
func pinned(goMod []byte, module string) string {
	for line := range strings.Lines(string(goMod)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return fields[1]
		}
	}
	return ""
}

var majorElement = regexp.MustCompile(`^v[0-9]+$`)

// output returns the file name that `go build` gives to a main package.
func (b binary) output() string {
	if base := path.Base(b.pkg); !majorElement.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(b.pkg))
}
