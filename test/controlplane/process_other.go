//go:build !linux

package controlplane

import "syscall"

// processAttributes cannot tie a program's life to ours on this system: what a
// killed test started has to be ended by hand.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
