/* SPDX-License-Identifier: MIT */
#include "vmm/pv/ops.h"

s64 pv_result(int r)
{
    static const u8 errors[] = {
        [-ERR_NOMEM] = NIDUS_ENOMEM, [-ERR_INVAL] = NIDUS_EINVAL, [-ERR_RANGE] = NIDUS_EFAULT,
        [-ERR_EXIST] = NIDUS_EEXIST, [-ERR_NOENT] = NIDUS_ENOENT, [-ERR_BUSY] = NIDUS_EBUSY,
        [-ERR_FAULT] = NIDUS_EFAULT,
    };

    return -(s64)errors[-r];
}
