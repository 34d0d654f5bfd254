// A workload for the demo and the tests: an encoder whose time goes into one function, transform_block.
// Go keeps frame pointers and a symbol table, so perf can walk and name its stacks as they are.
package main

import (
	"flag"
	"fmt"
	"math"
	"time"
)

const size = 8

type block [size * size]float64

var cosines = func() (table block) {
	for k := range size {
		for n := range size {
			table[k*size+n] = math.Cos(math.Pi / size * (float64(n) + 0.5) * float64(k))
		}
	}
	return table
}()

// transform_block is a discrete cosine transform in two dimensions. Its name is in the C manner
// because the tests look for it in a profile, whatever language the workload is written in.
//
//go:noinline
func transform_block(input *block) (output block) {
	var rows block
	for y := range size {
		for k := range size {
			sum := 0.0
			for n := range size {
				sum += input[y*size+n] * cosines[k*size+n]
			}
			rows[y*size+k] = sum
		}
	}
	for x := range size {
		for k := range size {
			sum := 0.0
			for n := range size {
				sum += rows[n*size+x] * cosines[k*size+n]
			}
			output[k*size+x] = sum
		}
	}
	return output
}

//go:noinline
func encode_frame(number int) (energy float64) {
	var input block
	for at := range input {
		input[at] = float64((at*number)%255) - 128
	}
	for range 2000 {
		output := transform_block(&input)
		energy += output[1] * output[1]
	}
	return energy
}

func main() {
	busy := flag.Float64("busy", 0.3, "share of one CPU to use")
	flag.Parse()
	for number := 1; ; number++ {
		start := time.Now()
		energy := encode_frame(number)
		if number%1000 == 0 {
			fmt.Printf("frame %d, energy %.1f\n", number, energy)
		}
		worked := time.Since(start)
		time.Sleep(time.Duration(float64(worked) * (1 - *busy) / *busy))
	}
}
