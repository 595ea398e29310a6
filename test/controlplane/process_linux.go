package controlplane

import "syscall"

// processAttributes make the kernel end a program with us, so that a killed
// test leaves no orphans.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
