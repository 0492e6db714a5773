//! Goods and buyers with something to search for: titles in Chinese and English, names, phone numbers, addresses and
//! remarks. All of it follows from a seed.

use stockade::personal::Receiver;
use stockade::{Money, Personal, Sku};

use crate::plan::Random;

/// SKUs that share one product.
const SKUS_PER_PRODUCT: u64 = 10;
/// One order in so many has a remark.
const REMARK_EVERY: u64 = 8;

/// What a thing is, in Chinese and English.
pub(crate) const THINGS: [(&str, &str); 20] = [
    ("龙井茶", "Longjing tea"),
    ("普洱茶", "Pu'er tea"),
    ("乌龙茶", "Oolong tea"),
    ("保温杯", "vacuum flask"),
    ("陶瓷茶具", "porcelain tea set"),
    ("羊毛围巾", "wool scarf"),
    ("运动鞋", "running shoes"),
    ("双肩包", "backpack"),
    ("蓝牙耳机", "wireless earphones"),
    ("机械键盘", "mechanical keyboard"),
    ("手机壳", "phone case"),
    ("充电宝", "power bank"),
    ("台灯", "desk lamp"),
    ("空气炸锅", "air fryer"),
    ("电饭煲", "rice cooker"),
    ("羽绒服", "down jacket"),
    ("纯棉衬衫", "cotton shirt"),
    ("儿童积木", "building blocks"),
    ("坚果礼盒", "nut gift box"),
    ("洗发水", "shampoo"),
];
const STYLES: [(&str, &str); 12] = [
    ("新款", "new"),
    ("经典", "classic"),
    ("限量版", "limited edition"),
    ("礼盒装", "gift"),
    ("家用", "home"),
    ("便携", "portable"),
    ("轻奢", "premium"),
    ("复古", "vintage"),
    ("简约", "minimal"),
    ("加厚", "thick"),
    ("大容量", "large"),
    ("旗舰", "flagship"),
];
const COLOURS: [(&str, &str); 6] = [
    ("红色", "red"),
    ("黑色", "black"),
    ("白色", "white"),
    ("藏青", "navy"),
    ("米色", "beige"),
    ("墨绿", "green"),
];
const SURNAMES: [&str; 20] = [
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何",
    "郭", "马", "罗",
];
const GIVEN: [&str; 24] = [
    "伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "涛", "明", "超", "秀英",
    "桂兰", "建国", "子涵", "欣怡", "浩然", "雨桐", "梓萱",
];
const PLACES: [(&str, &str, &str); 10] = [
    ("广东省", "深圳市", "南山区"),
    ("广东省", "广州市", "天河区"),
    ("浙江省", "杭州市", "西湖区"),
    ("江苏省", "南京市", "鼓楼区"),
    ("上海市", "上海市", "浦东新区"),
    ("北京市", "北京市", "朝阳区"),
    ("四川省", "成都市", "武侯区"),
    ("湖北省", "武汉市", "洪山区"),
    ("陕西省", "西安市", "雁塔区"),
    ("福建省", "厦门市", "思明区"),
];
const ROADS: [&str; 8] =
    ["科技园路", "中山路", "人民路", "解放大道", "文三路", "天府大道", "长安街", "滨海路"];
const REMARKS: [&str; 6] =
    ["请尽快发货", "送货前请打电话", "gift, please wrap it", "放门口即可", "不要辣的", "周末不在家"];

fn pick<'a, T>(random: &mut Random, items: &'a [T]) -> &'a T {
    &items[random.below(items.len() as u64) as usize]
}

/// What is sold as SKU `sku`. Its model, `K` and a number, is in no other title.
pub(crate) fn sku(sku: u64) -> Sku {
    let mut random = Random::new(sku, 11);
    let ((style_zh, style), (colour_zh, colour)) = (pick(&mut random, &STYLES), pick(&mut random, &COLOURS));
    let (thing_zh, thing) = thing(sku);
    Sku {
        id: sku.into(),
        product_id: (sku.div_ceil(SKUS_PER_PRODUCT)).into(),
        code: format!("SKU-{sku}"),
        title: format!("{style_zh}{thing_zh} {colour_zh} {style} {thing} {colour} {}", model(sku)),
        price: Money::from_minor(1_000 + random.below(100_000) as i64),
        on_sale: true,
        limit_per_member: 0,
    }
}

/// What a SKU is, in Chinese and English.
pub(crate) fn thing(sku: u64) -> (&'static str, &'static str) {
    THINGS[(sku % THINGS.len() as u64) as usize]
}

/// The word that only this SKU's title has.
pub(crate) fn model(sku: u64) -> String {
    format!("K{:05}", sku)
}

/// Who receives the n-th buyer's order.
pub(crate) fn receiver(seed: u64, n: u64) -> Receiver {
    let mut random = Random::new(seed ^ 4, n);
    let name = format!("{}{}", pick(&mut random, &SURNAMES), pick(&mut random, &GIVEN));
    let (province, city, district) = *pick(&mut random, &PLACES);
    Receiver {
        name,
        phone: format!("13{:09}", random.below(1_000_000_000)),
        country: None,
        province: province.to_owned(),
        city: city.to_owned(),
        district: district.to_owned(),
        address: format!(
            "{} {} 号 {} 栋 {}",
            pick(&mut random, &ROADS),
            random.below(900) + 1,
            random.below(30) + 1,
            random.below(2_000) + 101
        ),
        postcode: None,
    }
}

/// The same, as an order has it.
pub(crate) fn personal(seed: u64, n: u64) -> Option<Personal> {
    receiver(seed, n).to_personal().ok()
}

/// What the n-th buyer remarks, if anything.
pub(crate) fn remark(seed: u64, n: u64) -> Option<Box<str>> {
    let mut random = Random::new(seed ^ 5, n);
    random.below(REMARK_EVERY).eq(&0).then(|| (*pick(&mut random, &REMARKS)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sku_is_valid_and_has_a_model_of_its_own() {
        for id in [1, 10, 11, 2_000] {
            assert_eq!(sku(id).validate(), Ok(()));
            assert!(sku(id).title.contains(&model(id)) && sku(id).title.contains(thing(id).0));
        }
        assert_eq!(sku(10).product_id, sku(1).product_id);
        assert_ne!(sku(11).product_id, sku(1).product_id);
    }

    #[test]
    fn every_buyer_has_a_receiver_and_an_eighth_a_remark() {
        assert!((0..1_000).all(|n| personal(7, n).is_some()));
        let remarks = (0..8_000).filter(|n| remark(7, *n).is_some()).count();
        assert!((800..1_200).contains(&remarks), "{remarks}");
        assert!(receiver(7, 1) == receiver(7, 1) && receiver(7, 1) != receiver(7, 2));
    }
}
