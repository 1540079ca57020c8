package deploy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// What there is to build, in deploy/kubernetes.
const (
	base    = "base"
	overlay = "overlays/three-replicas"
)

// objects are what a kustomization comes to.
type objects []metav1.Object

// build is `kubectl kustomize deploy/kubernetes/PATH`, each object read strictly
// into the type of its API: a field that the API does not have is an error.
func build(t *testing.T, path string) objects {
	t.Helper()
	return buildDir(t, filepath.Join(root, "deploy", "kubernetes", path))
}

func buildDir(t *testing.T, dir string) objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var all objects
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, decode(t, text))
	}
	return all
}

func decode(t *testing.T, text []byte) metav1.Object {
	t.Helper()
	o, _, err := decoder(t).Decode(text, nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	object, ok := o.(metav1.Object)
	if !ok {
		t.Fatalf("%T is no object", o)
	}
	checkMeta(t, object)
	return object
}

func decoder(t *testing.T) *json.Serializer {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
}

// checkMeta holds the name and the labels to the rules of the API.
func checkMeta(t *testing.T, o metav1.Object) {
	t.Helper()
	for _, problem := range validation.IsDNS1123Subdomain(o.GetName()) {
		t.Errorf("%T %s: %s", o, o.GetName(), problem)
	}
	path := field.NewPath("metadata", "labels")
	for _, err := range metav1validation.ValidateLabels(o.GetLabels(), path) {
		t.Errorf("%T %s: %v", o, o.GetName(), err)
	}
}

// all are the objects of one type.
func all[O metav1.Object](list objects) []O {
	var found []O
	for _, o := range list {
		if o, ok := o.(O); ok {
			found = append(found, o)
		}
	}
	return found
}

// one is the object of a type and name.
func one[O metav1.Object](t *testing.T, list objects, name string) O {
	t.Helper()
	for _, o := range all[O](list) {
		if o.GetName() == name {
			return o
		}
	}
	var none O
	t.Fatalf("there is no %T %s", none, name)
	return none
}

func deployment(t *testing.T, list objects, name string) *appsv1.Deployment {
	t.Helper()
	return one[*appsv1.Deployment](t, list, name)
}

func container(t *testing.T, d *appsv1.Deployment) corev1.Container {
	t.Helper()
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%s has %d containers: want 1", d.Name, len(d.Spec.Template.Spec.Containers))
	}
	return d.Spec.Template.Spec.Containers[0]
}

// TestStrictness makes sure that the reading above can fail.
func TestStrictness(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", base, "deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"misspelt":     {"readinessProbe:", "readynessProbe:"},
		"not in place": {"seccompProfile:", "readOnlyRootFilesystem:"},
		"wrong kind":   {"maxSkew: 1", "maxSkew: one"},
		"twice":        {"args:", "image: other\n          args:"},
	} {
		wrong := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(wrong, text) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, _, err := decoder(t).Decode(wrong, nil, nil); err == nil {
			t.Errorf("%s: %q was taken for %q", name, change[1], change[0])
		}
	}
}
