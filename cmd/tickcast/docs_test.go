package main

import (
	"testing"

	"github.com/tickcast/tickcast/internal/house"
)

func TestOptionsAreDocumented(t *testing.T) { house.CheckOptions(t, &opts{}, "## Options of tickcast") }
