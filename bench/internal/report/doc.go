// Package report makes a page with plots from result files of the benchmarks, and the tables
// that other pages of this repository show of them. It runs on Linux, as what it reads does.
package report
