#include "vmm/nested/nested.h"
#include "vmm/vm.h"
int shadow_ept_create(struct vcpu *v){(void)v;return 0;}
void shadow_ept_destroy(struct vcpu *v){(void)v;}
u64 shadow_ept_use(struct vcpu *v, u64 e){(void)e;return v->vm->eptp;}
enum shadow_result shadow_ept_fill(struct vcpu *v, gpa_t g, u64 q, gpa_t *a, u64 *r){(void)v;(void)g;(void)q;(void)a;*r=q;return SHADOW_VIOLATION;}
void shadow_ept_moved(struct vcpu *v){(void)v;}
void shadow_ept_invalidate(struct vcpu *v, u64 e){(void)v;(void)e;}
void shadow_ept_invalidate_all(struct vcpu *v){(void)v;}
enum shadow_result shadow_ept_translate(struct vcpu *v, gpa_t g, u64 a, gpa_t *o, u64 *r){(void)v;(void)g;(void)a;(void)o;(void)r;return SHADOW_VIOLATION;}
