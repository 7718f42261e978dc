// Package host is what a measurement needs of the machine: how much CPU and memory another
// process has used, which cores a process may run on, and what the machine is called.
// It reads /proc and runs on Linux.
package host
