package contract

// Image reads an image and parses it.
func Image(path string) (*Set, error) {
	data, err := ReadImage(path)
	if err != nil {
		return nil, err
	}
	return ParseImage(path, data)
}
