"""How far two places are apart, as far as anybody can tell."""

from __future__ import annotations

import pytest

from cloud.nearness import FAR_KM, Place, apart_km


@pytest.mark.parametrize(
    ("worker", "job", "km"),
    [
        (Place(coordinates="113.55,22.22"), Place(coordinates="113.55,22.22"), 0),
        # Zhuhai to Shenzhen, in either order, with whatever stands between the numbers.
        (Place(coordinates="113.55,22.22"), Place(coordinates="22.54 114.06"), 63),
        (Place(coordinates="经度 121.47, 纬度 31.23"), Place(coordinates="116.40;39.90"), 1067),
        (Place("广东省珠海市香洲区"), Place("广东省珠海市香洲区情侣路"), 10),
        (Place("广东省珠海市香洲区"), Place("广东珠海斗门"), 50),
        (Place("广东省珠海市香洲区"), Place("广东省深圳市"), 300),
        (Place("北京市朝阳区"), Place("北京市朝阳区三里屯"), 50),
        (Place("新疆维吾尔自治区伊犁哈萨克自治州伊宁市"), Place("伊犁哈萨克自治州伊宁市解放路"), 50),
        # Another city has a district of the same name.
        (Place("江苏省南京市鼓楼区"), Place("福建省福州市鼓楼区"), 300),
        (Place("福建省福州市鼓楼区"), Place("福建省福州市鼓楼区"), 10),
        (Place("广东省珠海市"), Place("大堂"), FAR_KM),
        (Place(), Place(), FAR_KM),
        (Place("", "113.55,22.22"), Place("", "nowhere"), FAR_KM),
        (Place("", "999,22"), Place("", "113,22"), FAR_KM),
        (Place("", "113"), Place("", "113,22"), FAR_KM),
    ],
)
def test_how_far_it_is(worker: Place, job: Place, km: int) -> None:
    assert apart_km(worker, job) == km
